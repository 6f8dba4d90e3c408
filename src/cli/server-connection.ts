import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { type Client, createClient } from "@connectrpc/connect";
import type { Command } from "commander";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { createNodeTransport, type NodeTransport, type NodeTransportOptions } from "../client/node.ts";
import type { Config } from "../platform/config.ts";
import { CommandError } from "./failure.ts";
import { readApiKey, readClientCertificate, readOrRefuse } from "./server-credential.ts";

/** A connection to a running server, made at the first call and again after it was lost. */
export interface ServerConnection {
  readonly url: string;
  readonly users: Client<typeof UserService>;
  close(): void;
}

/** The options that say where a server is, whom to trust and who calls. */
export interface ServerOptions {
  readonly url?: string;
  readonly ca?: string;
  readonly apiKeyFile?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly allowInsecureCredential?: true;
}

/** What the options of {@link addServerOptions} leave to say, for a command's help. */
export const credentialHelp = `Where the server has AUTH=on, the API key is in USER_BRIDGE_API_KEY or in the file of --api-key-file.`;

/** Declares {@link ServerOptions} on a command. */
export function addServerOptions(command: Command, urlDescription: string): Command {
  return command
    .option("--url <url>", urlDescription)
    .option(
      "--ca <file>",
      "certificates (PEM) to trust at an https URL (default: the system's, and TLS_CERT)",
    )
    .option("--api-key-file <file>", "the API key to show (default: what USER_BRIDGE_API_KEY holds)")
    .option("--cert <file>", "the client certificate (PEM) to show at an https URL")
    .option("--key <file>", "the client certificate's key (PEM)")
    .option("--allow-insecure-credential", "send the API key also over http to another machine");
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
 * @throws CommandError where the URL is none, a file cannot be read, or the API key would be sent in the clear
 */
export async function connectServer(
  url: string,
  options: ServerOptions,
  config: Config,
  variables: NodeJS.ProcessEnv,
): Promise<ServerConnection> {
  if (!URL.canParse(url) || !["http:", "https:"].includes(new URL(url).protocol)) {
    throw new CommandError(`a server's URL is such as http://127.0.0.1:8080, not "${url}"`);
  }
  const certificate = await readClientCertificate(url, options);
  const tls = url.startsWith("https:")
    ? { ...(await readTrust(options.ca, config)), ...certificate }
    : undefined;
  const credential = await readApiKey(options.apiKeyFile, variables);
  const transport = openTransport({
    baseUrl: url,
    tls,
    ...(credential !== undefined && { credential }),
    allowInsecureCredential: options.allowInsecureCredential === true,
  });
  return {
    url,
    users: createClient(UserService, transport),
    close: transport.close,
  };
}

function openTransport(options: NodeTransportOptions): NodeTransport {
  try {
    return createNodeTransport(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const text = error.message.replace(
      "allowInsecureCredential is set",
      "--allow-insecure-credential is given",
    );
    throw new CommandError(text, { cause: error });
  }
}

/** Whose certificate is good. That of our own configuration is, even where it signed itself. */
async function readTrust(caPath: string | undefined, config: Config) {
  const path = caPath ?? config.tls?.certPath;
  if (path === undefined) return {};
  const certificates = await readOrRefuse("certificates", readFile(path));
  return {
    ca: caPath === undefined ? [...rootCertificates, certificates] : certificates,
    allowPartialTrustChain: true,
  };
}
