import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Command } from "commander";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
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

/** A connection that is silent for so long is asked whether it still is one. */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 5_000;

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
  const sessions = new Http2SessionManager(
    url,
    { pingIntervalMs, pingTimeoutMs },
    url.startsWith("https:") ? await readTrust(caPath, config) : {},
  );
  const transport = createGrpcTransport({ baseUrl: url, sessionManager: sessions });
  return {
    url,
    users: createClient(UserService, transport),
    close: () => sessions.abort(),
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
  if (cause instanceof Error && "code" in cause) {
    const detail = cause.message || String(cause.code);
    return error.code === Code.Unavailable
      ? `no server answers at ${url} (${detail}); start one with: user-bridge serve, or say where it is by --url or LISTEN`
      : `the connection to ${url} failed: ${detail}`;
  }
  if (error.code === Code.Canceled) {
    // Node says so of calls whose connection went away; nobody here cancels a call that is still waited for.
    return `the connection to ${url} failed: ${error.rawMessage}`;
  }
  const earliest = error.findDetails(ErrorInfoSchema)[0]?.metadata["earliest_cursor"];
  return `the call to ${url} failed: ${error.message}${earliest === undefined ? "" : `; earliest_cursor is ${earliest}`}`;
}
