import { isIP } from "node:net";
import { byteSize, choice, listenAddress, listOf } from "./config-fields.ts";

/** Where to serve unless told otherwise. */
export const defaultListen = "127.0.0.1:8080";

/** OWASP's password storage cheat sheet, as of 2025: argon2id with 19 MiB, 2 iterations and 1 lane. */
export const defaultPasswordMemory = "19MiB";

/** The values of AUTH. */
export const authChoice = choice("off", "on");

/** The values of SERVICES. */
export const serviceList = listOf("users", "auth", "profiles");

/** The variables that are set, as they are. */
export type GivenVariables = Readonly<Record<string, string | undefined>>;

/** What is wrong between the variables of TLS. */
export function tlsFaults(given: GivenVariables): string[] {
  const faults: string[] = [];
  if ((given["TLS_CERT"] === undefined) !== (given["TLS_KEY"] === undefined)) {
    faults.push("TLS_CERT, TLS_KEY: set both or neither");
  }
  if (given["TLS_CLIENT_CA"] !== undefined && given["TLS_CERT"] === undefined) {
    faults.push("TLS_CLIENT_CA: needs TLS_CERT and TLS_KEY");
  }
  return faults;
}

/** What keeps a process from listening: nobody may serve unguarded by mistake. */
export function accessFaults(given: GivenVariables): string[] {
  if (!authChoice.optional().safeParse(given["AUTH"]).success) {
    return [];
  }
  if (defaultedAuth(given["AUTH"], given["DATABASE_URL"]) === "on") {
    return [
      "AUTH: on needs credentials, and this version has no way to configure any yet; set AUTH=off and listen on a loopback address (off is the default only for the embedded database)",
    ];
  }
  const listen = listenAddress.safeParse(given["LISTEN"] ?? defaultListen);
  return listen.success && !isLoopback(listen.data.host)
    ? [
        `AUTH: off works only on a loopback address, and LISTEN is ${listen.data.host}; listen on 127.0.0.1 and put your edge in front`,
      ]
    : [];
}

/** What is wrong between the services that are mounted and where the others are. */
export function serviceFaults(given: GivenVariables): string[] {
  const mounted = serviceList.optional().safeParse(given["SERVICES"]);
  if (!mounted.success || mounted.data === undefined) {
    return [];
  }
  const needsAuth = mounted.data.has("profiles") && !mounted.data.has("auth");
  return needsAuth && given["AUTH_URL"] === undefined
    ? ["AUTH_URL: set it to where auth is served, since SERVICES has profiles but not auth"]
    : [];
}

/** Argon2 wants 8 KiB a lane (RFC 9106, section 3.1). */
const leastPasswordMemory = 8 * 1024;

/** What is wrong between the parameters of the password hashes. */
export function passwordFaults(given: GivenVariables): string[] {
  const memory = byteSize.safeParse(given["PASSWORD_MEMORY"] ?? defaultPasswordMemory);
  const parallelism = Number(given["PASSWORD_PARALLELISM"] ?? "1");
  return memory.success && memory.data < leastPasswordMemory * parallelism
    ? ["PASSWORD_MEMORY: must be at least 8KiB for each of PASSWORD_PARALLELISM"]
    : [];
}

/** Nothing guards an open door but the loopback address, so only the try-it-out database opens it by itself. */
export function defaultedAuth(auth: string | undefined, databaseUrl: string | undefined): "off" | "on" {
  return (auth ?? (databaseUrl === undefined ? "off" : "on")) === "off" ? "off" : "on";
}

/** Whether a host is this machine and only this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
