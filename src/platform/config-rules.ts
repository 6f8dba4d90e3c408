import { isIP } from "node:net";
import { byteSize, choice, listenAddress, listOf } from "./config-fields.ts";
import { parseDuration } from "./units.ts";

/** Where to serve unless told otherwise. */
export const defaultListen = "127.0.0.1:8080";

/** Where the internal listener is unless told otherwise. */
export const defaultInternalListen = "127.0.0.1:50053";

/** OWASP's password storage cheat sheet, as of 2025: argon2id with 19 MiB, 2 iterations and 1 lane. */
export const defaultPasswordMemory = "19MiB";

/** The values of AUTH. */
export const authChoice = choice("off", "on");

/** Whether a client must, may or cannot show a certificate. */
export type ClientAuth = "off" | "optional" | "required";

/** The values of TLS_CLIENT_AUTH. */
export const clientAuthChoice = choice("off", "optional", "required");

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
  const judged = ["TLS_CLIENT_CA", "TLS_CLIENT_SPKI_PINS"].filter((name) => given[name] !== undefined);
  const [first = ""] = judged;
  if (judged.length > 0 && given["TLS_CERT"] === undefined) {
    faults.push(`${first}: needs TLS_CERT and TLS_KEY`);
  }
  for (const name of ["TLS_CLIENT_AUTH", "INTERNAL_TLS_CLIENT_AUTH"]) {
    if (["optional", "required"].includes(given[name] ?? "off") && judged.length === 0) {
      faults.push(
        `${name}: needs TLS_CLIENT_CA or TLS_CLIENT_SPKI_PINS, to tell good certificates from bad ones`,
      );
    }
  }
  if (given["TLS_CLIENT_PRINCIPALS"] !== undefined) {
    if (judged.length === 0) {
      faults.push("TLS_CLIENT_PRINCIPALS: needs TLS_CLIENT_CA or TLS_CLIENT_SPKI_PINS");
    } else if (!asksForCertificates(given)) {
      faults.push(
        "TLS_CLIENT_PRINCIPALS: no listener asks for certificates; set TLS_CLIENT_AUTH to optional or required",
      );
    }
  }
  if (given["INTERNAL_TLS"] === "on" && given["TLS_CERT"] === undefined) {
    faults.push("INTERNAL_TLS: on needs TLS_CERT and TLS_KEY");
  }
  if (given["INTERNAL_TLS_CLIENT_AUTH"] !== undefined && given["INTERNAL_TLS"] !== "on") {
    faults.push("INTERNAL_TLS_CLIENT_AUTH: needs INTERNAL_TLS=on");
  }
  return faults;
}

/** What is wrong between the two listeners. */
export function listenFaults(given: GivenVariables): string[] {
  const listen = listenAddress.safeParse(given["LISTEN"] ?? defaultListen);
  const internal = listenAddress.safeParse(given["INTERNAL_LISTEN"] ?? defaultInternalListen);
  const areSame =
    listen.success &&
    internal.success &&
    listen.data.port !== 0 &&
    listen.data.port === internal.data.port &&
    listen.data.host === internal.data.host;
  return areSame
    ? ["INTERNAL_LISTEN: must not be the address of LISTEN: what is internal has a port of its own"]
    : [];
}

/** Where there is something to tell good certificates by, listeners ask for them unless it is said otherwise. */
function asksForCertificates(given: GivenVariables): boolean {
  return (
    given["TLS_CLIENT_AUTH"] !== "off" ||
    (given["INTERNAL_TLS"] === "on" && given["INTERNAL_TLS_CLIENT_AUTH"] !== "off")
  );
}

/** What keeps a process from listening: nobody may serve unguarded by mistake. */
export function accessFaults(given: GivenVariables): string[] {
  if (!authChoice.optional().safeParse(given["AUTH"]).success) {
    return [];
  }
  if (defaultedAuth(given["AUTH"], given["DATABASE_URL"]) === "on") {
    return [];
  }
  const listeners = {
    LISTEN: given["LISTEN"] ?? defaultListen,
    INTERNAL_LISTEN: given["INTERNAL_LISTEN"] ?? defaultInternalListen,
  };
  return Object.entries(listeners).flatMap(([name, text]) => {
    const listen = listenAddress.safeParse(text);
    return listen.success && !isLoopback(listen.data.host)
      ? [
          `AUTH: off works only on a loopback address, and ${name} is ${listen.data.host}; set AUTH=on, or listen on 127.0.0.1 and put your edge in front`,
        ]
      : [];
  });
}

/** What is wrong between the services that are mounted and where the others are. */
export function serviceFaults(given: GivenVariables): string[] {
  const faults: string[] = [];
  const mounted = serviceList.optional().safeParse(given["SERVICES"]).data;
  if (given["AUTH_URL"] === undefined && mounted?.has("profiles") && !mounted.has("auth")) {
    faults.push("AUTH_URL: set it to where auth is served, since SERVICES has profiles but not auth");
  }
  if (given["AUTH_API_KEY"] !== undefined && given["AUTH_URL"] === undefined) {
    faults.push("AUTH_API_KEY: needs AUTH_URL, where it is shown");
  }
  return faults;
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

/** What is wrong between the deadlines. */
export function deadlineFaults(given: GivenVariables): string[] {
  const byDefault = parseDuration(given["DEFAULT_DEADLINE"] ?? "30s");
  const maximum = parseDuration(given["MAX_DEADLINE"] ?? "5m");
  return byDefault !== undefined && maximum !== undefined && byDefault > maximum
    ? ["DEFAULT_DEADLINE: must not be longer than MAX_DEADLINE"]
    : [];
}

/** Limits of one caller and of all, with their defaults. */
const limitPairs = [
  ["MAX_CONCURRENT_CALLS_PER_CALLER", "MAX_CONCURRENT_CALLS", 2_000],
  ["MAX_STREAMS_PER_CALLER", "MAX_STREAMS", 20_000],
] as const;

/** What is wrong between the limits: one caller may do more than all together. */
export function limitFaults(given: GivenVariables): string[] {
  return limitPairs.flatMap(([one, all, byDefault]) =>
    given[one] !== undefined && Number(given[one]) > Number(given[all] ?? byDefault)
      ? [`${one}: must not be more than ${all}`]
      : [],
  );
}
