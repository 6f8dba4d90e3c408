import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { ListenAddress } from "../platform/config-fields.ts";

/** The variables that say where to listen. */
export type ListenVariable = "LISTEN" | "INTERNAL_LISTEN";

/** An address cannot be listened on. Its message says which variable names it, and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** What the system's refusals mean (listen(2), getaddrinfo(3)). */
const refusals: Readonly<Record<string, string>> = {
  EADDRINUSE: "is in use by another process",
  EACCES: "may not be listened on by this user, as ports below 1024 mostly may not",
  EADDRNOTAVAIL: "is no address of this machine",
  ENOTFOUND: "is no address of this machine",
};

/** What to do instead. */
const remedies: Readonly<Record<ListenVariable, string>> = {
  LISTEN: "Set LISTEN to another host:port; port 0 takes a free one",
  INTERNAL_LISTEN: "Set INTERNAL_LISTEN to another host:port (port 0 takes a free one), or to off",
};

/** Listens. @returns the port. @throws ListenError where the address cannot be had */
export async function listen(
  app: FastifyInstance,
  { host, port }: ListenAddress,
  variable: ListenVariable,
): Promise<number> {
  try {
    await app.listen({ host, port, listenTextResolver: () => "listening" });
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const refusal = refusals[code];
    if (refusal === undefined) throw error;
    const text = `${variable}: ${formatHost(host)}:${port} ${refusal} (${code}). ${remedies[variable]}`;
    throw new ListenError(text, { cause: error });
  }
  return (app.server.address() as AddressInfo).port;
}

/** A host as it stands in a URL: IPv6 in brackets. */
export function formatHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
