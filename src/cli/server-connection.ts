import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import type { Command } from "commander";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { createNodeTransport } from "../client/node.ts";
import type { Config } from "../platform/config.ts";
import { CommandError } from "./failure.ts";

/** A connection to a running server, made at the first call and again after it was lost. */
export interface ServerConnection {
  readonly url: string;
  readonly users: Client<typeof UserService>;
  close(): void;
}

/** The options that say where a server is and whom to trust. */
export interface ServerOptions {
  readonly url?: string;
  readonly ca?: string;
}

/** What Node says where nothing takes a connection. */
const unreachable = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** Declares {@link ServerOptions} on a command. */
export function addServerOptions(command: Command, urlDescription: string): Command {
  return command
    .option("--url <url>", urlDescription)
    .option(
      "--ca <file>",
      "certificates (PEM) to trust at an https URL (default: the system's, and TLS_CERT)",
    );
}

/** Where a server with this configuration listens, as a client on the same machine calls it. */
export function toServerUrl(config: Config): string {
  const { host, port } = config.listen;
  if (port === 0) {
    throw new CommandError("LISTEN has port 0, which says nothing about where the server is; give --url");
  }
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const authority = reachable.includes(":") ? `[${reachable}]` : reachable;
  return `${config.tls === undefined ? "http" : "https"}://${authority}:${port}`;
}

/**
 * Prepares a connection over gRPC.
 *
 * @throws CommandError where the URL is none or a certificate cannot be read
 */
export async function connectServer(
  url: string,
  caPath: string | undefined,
  config: Config,
): Promise<ServerConnection> {
  if (!URL.canParse(url) || !["http:", "https:"].includes(new URL(url).protocol)) {
    throw new CommandError(`a server's URL is such as http://127.0.0.1:8080, not "${url}"`);
  }
  const tls = url.startsWith("https:") ? await readTrust(caPath, config) : undefined;
  const transport = createNodeTransport({ baseUrl: url, tls });
  return {
    url,
    users: createClient(UserService, transport),
    close: transport.close,
  };
}

/** Whose certificate is good. That of our own configuration is, even where it signed itself. */
async function readTrust(caPath: string | undefined, config: Config) {
  if (caPath !== undefined) {
    return { ca: await readCertificates(caPath), allowPartialTrustChain: true };
  }
  return config.tls === undefined
    ? {}
    : {
        ca: [...rootCertificates, await readCertificates(config.tls.certPath)],
        allowPartialTrustChain: true,
      };
}

async function readCertificates(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CommandError(`cannot read certificates: ${(error as Error).message}`, { cause: error });
  }
}

/** Says for people why a call failed, and what to do where that is known. */
export function describeCallFailure(url: string, failure: unknown): string {
  const error = ConnectError.from(failure);
  const { cause } = error;
  // A status that the server sent has no cause; an error that the transport met on its way has.
  if (cause instanceof Error) {
    const code = "code" in cause ? String(cause.code) : "";
    const detail = (cause instanceof ConnectError ? cause.rawMessage : cause.message) || code;
    return unreachable.has(code)
      ? `no server answers at ${url} (${detail}); start one with: user-bridge serve, or say where it is by --url or LISTEN`
      : `the connection to ${url} failed: ${detail}`;
  }
  const earliest = error.findDetails(ErrorInfoSchema)[0]?.metadata["earliest_cursor"];
  return `the call to ${url} failed: ${error.message}${earliest === undefined ? "" : `; earliest_cursor is ${earliest}`}`;
}
