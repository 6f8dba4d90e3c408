import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import fastifyCors from "@fastify/cors";
import {
  type FastifyInstance,
  type FastifyServerFactory,
  type FastifyServerOptions,
  fastify,
  LogController,
} from "fastify";
import { createLane } from "../lane/lane.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { createCallerContext } from "./caller-address.ts";
import { refuseMalformedGet } from "./connect-get.ts";
import { createCorsFields, createCorsOptions } from "./cors.ts";
import { acceptGrpcWebText } from "./grpc-web-text.ts";
import { acceptHalfDuplexOverHttp1 } from "./half-duplex.ts";
import type { HealthStatus } from "./health/health.status.ts";
import { type HttpDocument, serveDocuments } from "./http-document.ts";
import { createEndingsInterceptor, shutdownError } from "./interceptors/endings.ts";
import { createErrorInterceptor } from "./interceptors/errors.ts";
import { createValidationInterceptor } from "./interceptors/validation.ts";
import { shortenLongTimeouts } from "./long-timeout.ts";
import { mountHandlers } from "./mount.ts";
import { createOnePort, type OnePort, type RequestListener, type TlsMaterial } from "./one-port.ts";
import { rejectMalformedTarget } from "./request-target.ts";
import { createStallGuard } from "./stall-guard.ts";
import { blameCallerForUndecodableBytes } from "./undecodable.ts";
import { answerUnknownPath } from "./unknown-rpc.ts";
import { allowEarlyAnswer } from "./unread-body.ts";

/** The public listener with everything on it. */
export interface Host {
  /** Where it is reached, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Ends streams, lets unary calls finish, and closes all connections within `DRAIN_TIMEOUT`. */
  close(): Promise<void>;
}

/** The part of the configuration that the host reads. */
export type HostConfig = Pick<
  Config,
  | "listen"
  | "tls"
  | "corsOrigins"
  | "lane"
  | "maxMessageBytes"
  | "maxStreamsPerConnection"
  | "streamStallTimeoutMs"
  | "drainTimeoutMs"
> &
  Partial<Pick<Config, "trustedProxies">>;

/** What the host is made of. */
export interface HostDependencies {
  readonly config: HostConfig;
  readonly logger: Logger;
  /** Registers every service. */
  readonly routes: (router: ConnectRouter) => void;
  readonly health: HealthStatus;
  readonly documents?: readonly HttpDocument[];
}

/** Listens. @throws the system's error where the address cannot be had, or a TLS file cannot be read. */
export async function openHost(dependencies: HostDependencies): Promise<Host> {
  const { config, logger, routes, health, documents = [] } = dependencies;
  const shutdown = new AbortController();
  const stallGuard = createStallGuard(config.streamStallTimeoutMs);
  const tls = await readTlsMaterial(config);
  const errors = createErrorInterceptor(logger);
  const validation = createValidationInterceptor();
  const contextValues = createCallerContext(config.trustedProxies ?? []);
  const messages = {
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: config.maxMessageBytes,
    writeMaxBytes: config.maxMessageBytes,
  };
  const lane =
    config.lane === "off"
      ? undefined
      : createLane({
          routes,
          // It ends calls by itself, at their deadline and when nobody waits for them any more.
          interceptors: [errors, validation],
          ...messages,
          shutdownSignal: shutdown.signal,
          stallTimeoutMs: config.streamStallTimeoutMs,
          commonFields: createCorsFields(config.corsOrigins),
          contextValues,
        });
  let port: OnePort | undefined;

  const serverFactory: FastifyServerFactory = (handle) => {
    port = createOnePort(
      (request, response) => {
        // Over HTTP/2 the lane has seen the request already.
        if (!("stream" in request) && lane?.takeRequest(request, response) === true) return;
        allowEarlyAnswer(request, response);
        if (!rejectMalformedTarget(request, response)) {
          (handle as unknown as RequestListener)(request, response);
        }
      },
      { tls, maxStreamsPerConnection: config.maxStreamsPerConnection, takeStream: lane?.takeStream },
    );
    return port.server as ReturnType<FastifyServerFactory>;
  };

  const app = fastify({
    serverFactory,
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    schemaController: withoutSchemas,
    return503OnClosing: false,
  }) as unknown as FastifyInstance;
  await app.register(fastifyCors, createCorsOptions(config.corsOrigins));
  const router = createConnectRouter({
    // From the outside in: whatever fails is translated; then a call ends when nobody waits for it; what
    // reaches a handler has passed its rules.
    interceptors: [errors, createEndingsInterceptor(shutdown.signal), validation],
    requestGate: blameCallerForUndecodableBytes,
    ...messages,
  });
  routes(router);
  const handlers = router.handlers
    .map(refuseMalformedGet)
    .map(shortenLongTimeouts)
    .map(acceptHalfDuplexOverHttp1)
    .map(acceptGrpcWebText);
  await mountHandlers(app, handlers, { stallGuard, contextValues, logger });
  app.get("/healthz", () => ({ status: "ok" }));
  app.get("/readyz", (_request, reply) =>
    reply.code(health.isServing ? 200 : 503).send({ status: health.isServing ? "ready" : "not ready" }),
  );
  serveDocuments(app, documents);
  app.setNotFoundHandler(answerUnknownPath);
  await app.listen({
    host: config.listen.host,
    port: config.listen.port,
    listenTextResolver: () => "listening",
  });

  return {
    url: formatUrl(config, (app.server.address() as AddressInfo).port),
    async close() {
      shutdown.abort(shutdownError());
      await port?.drain(config.drainTimeoutMs);
      stallGuard.close();
      lane?.close();
      await app.close();
    },
  };
}

/** Fastify would otherwise load its two compilers of JSON schemas, a hundred modules, for routes that have none. */
const withoutSchemas: NonNullable<FastifyServerOptions["schemaController"]> = {
  compilersFactory: { buildValidator: refuseSchemas, buildSerializer: refuseSchemas },
};

function refuseSchemas(): never {
  throw new Error("no route here has a JSON schema; to give it one, remove `withoutSchemas`");
}

async function readTlsMaterial({ tls }: HostConfig): Promise<TlsMaterial | undefined> {
  if (tls === undefined) {
    return undefined;
  }
  return {
    cert: await readFile(tls.certPath),
    key: await readFile(tls.keyPath),
    clientCa: tls.clientCaPath === undefined ? undefined : await readFile(tls.clientCaPath),
  };
}

function formatUrl(config: HostConfig, port: number): string {
  const { host } = config.listen;
  return `${config.tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
