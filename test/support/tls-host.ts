import { once } from "node:events";
import type { TestContext } from "node:test";
import tls, { type ConnectionOptions, type TLSSocket } from "node:tls";
import type { TlsConfig } from "../../src/platform/config.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type HostConfig, type HostDependencies, openHost } from "../../src/server/host.ts";
import type { TlsFiles } from "./certificates.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { createLogLines, type LogLines } from "./log-lines.ts";
import { testConfig } from "./test-app.ts";

/** The program's own host, with TLS. */
export interface TlsHost {
  readonly url: string;
  readonly log: LogLines;
}

/** Opens it. Changed files are noticed within some hundredths of a second. */
export async function openTlsHost(
  t: TestContext,
  files: Pick<TlsFiles, "certPath" | "keyPath">,
  judged: Partial<TlsConfig> = {},
  {
    routes = () => {},
    ...config
  }: Partial<HostConfig> & Pick<Partial<HostDependencies>, "routes" | "tlsOptions"> = {},
): Promise<TlsHost> {
  const log = createLogLines();
  const { certPath, keyPath } = files;
  const host = await openHost({
    config: {
      ...testConfig({}),
      drainTimeoutMs: 100,
      ...config,
      tls: { certPath, keyPath, clientSpkiPins: [], clientAuth: "off", ...judged },
    },
    logger: log.logger,
    routes,
    health: createHealthStatus([]),
    tlsOptions: { intervalMs: 10, ...config.tlsOptions },
  });
  cleanUpAfter(t, host.close);
  return { url: host.url, log };
}

/** What a client that asks for /healthz over HTTP/1.1 comes across. */
export interface Visit {
  /** All that the server has sent; empty where it has refused. */
  readonly answer: string;
  /** The client's error. */
  readonly code: string | undefined;
  /** The SHA-256 of the certificate that the server has shown. */
  readonly shown: string | undefined;
}

/** Connects anew and asks. */
export async function visit(url: string, options: ConnectionOptions): Promise<Visit> {
  const socket = connectTls(url, { ALPNProtocols: ["http/1.1"], ...options });
  let answer = "";
  let code: string | undefined;
  let shown: string | undefined;
  socket.on("secureConnect", () => {
    shown = socket.getPeerX509Certificate()?.fingerprint256;
    socket.write("GET /healthz HTTP/1.1\r\nhost: visit.test\r\nconnection: close\r\n\r\n");
  });
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString("latin1");
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    code ??= error.code;
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return { answer, code, shown };
}

/** A connection whose handshake may be under way. */
export function connectTls(url: string, options: ConnectionOptions): TLSSocket {
  const { hostname: host, port } = new URL(url);
  return tls.connect({ host, port: Number(port), ...options });
}

/** A connection whose handshake is done, until the test ends. */
export async function openTlsConnection(
  t: TestContext,
  url: string,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const socket = connectTls(url, options);
  cleanUpAfter(t, () => void socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}
