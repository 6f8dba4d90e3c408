import tls, { type TLSSocket } from "node:tls";
import { keepClientCertificate } from "../lane/client-certificate.ts";
import type { TlsConfig } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { openWatchedFiles, type WatchOptions } from "../platform/watched-files.ts";
import { judgeClient } from "./tls-client-judge.ts";
import { readTlsMaterial, type TlsMaterial, tlsPaths } from "./tls-material.ts";
import { contextSettings, defaultHandshakeTimeoutMs } from "./tls-settings.ts";

/** What a listener speaks TLS with. */
export interface TlsEndpoint {
  /**
   * Makes the listening server, once. `accept` gets each connection that has shaken hands and whose client
   * certificate, if it must or may have one, is good; all others are destroyed unread.
   */
  createServer(accept: (socket: TLSSocket) => void): tls.Server;
  /** Looks at the files no more. */
  close(): void;
}

/** What tests choose. */
export interface TlsOptions extends WatchOptions {
  readonly handshakeTimeoutMs?: number;
}

/**
 * Reads the files of a listener's TLS and watches them. When they change, new connections get what they say now;
 * those that are open stay as they are.
 *
 * @throws ConfigError where they are no certificate, its key and authorities; the system's error where one cannot
 * be read
 */
export async function openTls(
  config: TlsConfig,
  logger: Logger,
  options: TlsOptions = {},
): Promise<TlsEndpoint> {
  let material: TlsMaterial | undefined;
  let server: tls.Server | undefined;
  const files = await openWatchedFiles(
    tlsPaths(config),
    (contents) => {
      material = readTlsMaterial(config, contents);
      server?.setSecureContext(contextOf(material));
      describe(material, logger);
    },
    logger,
    options,
  );

  return {
    createServer(accept) {
      server = tls.createServer({
        ...(material !== undefined && contextOf(material)),
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: options.handshakeTimeoutMs ?? defaultHandshakeTimeoutMs,
        requestCert: config.clientAuth !== "off",
        // Only so that a client that shows none is told so, by an alert: `admit` judges in any case.
        rejectUnauthorized: config.clientAuth === "required" && config.clientCaPath !== undefined,
      });
      server.on("tlsClientError", (error, socket) => reportFailure(error, socket, logger));
      server.on("secureConnection", (socket) => admit(socket, config, accept, logger));
      return server;
    },
    close: files.close,
  };
}

function contextOf({ cert, key, ca }: TlsMaterial): tls.SecureContextOptions {
  return { ...contextSettings, cert, key, ...(ca !== undefined && { ca }) };
}

function admit(
  socket: TLSSocket,
  config: TlsConfig,
  accept: (socket: TLSSocket) => void,
  logger: Logger,
): void {
  const verdict = judgeClient(socket, config, new Date());
  if ("fault" in verdict) {
    const { remoteAddress: address } = socket;
    const shown = socket.getPeerX509Certificate()?.fingerprint256;
    logger.info({ fault: verdict.fault, address, fingerprint256: shown }, "a client was refused");
    // A reset is on its way, perhaps, and nobody else will hear of it.
    socket.on("error", () => {});
    socket.destroy();
    return;
  }
  keepClientCertificate(socket, verdict.certificate);
  accept(socket);
}

/** What anybody who scans ports brings about is for those who look for it; a certificate that is refused is not. */
function reportFailure(
  error: NodeJS.ErrnoException,
  socket: TLSSocket & { authorizationError?: unknown },
  logger: Logger,
): void {
  const { remoteAddress: address, authorizationError } = socket;
  const isAboutCertificate =
    Boolean(authorizationError) || error.code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE";
  const fault = authorizationError ?? error.code ?? error.message;
  logger[isAboutCertificate ? "info" : "debug"]({ fault, address }, "a client was refused");
  // Node leaves a connection open whose handshake has timed out.
  socket.destroy();
}

function describe({ leaf }: TlsMaterial, logger: Logger): void {
  const { subjectAltName: names, fingerprint256, validToDate: until } = leaf;
  const fields = { names, fingerprint256, until };
  if (until < new Date()) logger.warn(fields, "the TLS certificate has expired");
  else logger.info(fields, "the TLS certificate is in use");
}
