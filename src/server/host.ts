import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { FastifyServerFactory } from "fastify";
import { createLane } from "../lane/lane.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { anonymous, unasked } from "../platform/principal.ts";
import { createCallerContext } from "./caller-address.ts";
import { refuseMalformedGet } from "./connect-get.ts";
import { createCorsFields } from "./cors.ts";
import { createGate } from "./gate.ts";
import { acceptGrpcWebText } from "./grpc-web-text.ts";
import { acceptHalfDuplexOverHttp1 } from "./half-duplex.ts";
import type { HealthStatus } from "./health/health.status.ts";
import { createHttpApp } from "./http-app.ts";
import type { HttpDocument } from "./http-document.ts";
import type { Access } from "./interceptors/access.ts";
import { createEndingsInterceptor, shutdownError } from "./interceptors/endings.ts";
import { createErrorInterceptor } from "./interceptors/errors.ts";
import { createFailureTranslation, type OnRefusal } from "./interceptors/failure-translation.ts";
import { createPageInterceptor } from "./interceptors/pages.ts";
import { createValidationInterceptor } from "./interceptors/validation.ts";
import { formatHost, type ListenVariable, listen } from "./listen.ts";
import { shortenLongTimeouts } from "./long-timeout.ts";
import { createOnePort, type OnePort, type RequestListener } from "./one-port.ts";
import { createPageRules, keepPagesOff } from "./page-rules.ts";
import { rejectMalformedTarget } from "./request-target.ts";
import { createStallGuard } from "./stall-guard.ts";
import { openTls, type TlsOptions } from "./tls.ts";
import { blameCallerForUndecodableBytes } from "./undecodable.ts";
import { allowEarlyAnswer } from "./unread-body.ts";

/** A listener with everything on it. */
export interface Host {
  /** Where it is reached, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Ends streams, lets unary calls finish, and closes all connections within `DRAIN_TIMEOUT`. */
  close(): Promise<void>;
}

/** The part of the configuration that the host reads; `listen` and `tls` are the listener's own. */
export type HostConfig = Pick<
  Config,
  | "listen"
  | "corsOrigins"
  | "lane"
  | "maxMessageBytes"
  | "maxStreamsPerConnection"
  | "streamStallTimeoutMs"
  | "drainTimeoutMs"
> &
  Partial<Pick<Config, "trustedProxies">> & { readonly tls?: Config["tls"] | undefined };

/** What the host is made of. */
export interface HostDependencies {
  readonly config: HostConfig;
  readonly logger: Logger;
  /** Registers every service. */
  readonly routes: (router: ConnectRouter) => void;
  readonly health: HealthStatus;
  readonly documents?: readonly HttpDocument[];
  /** Finds out who calls, and whether they may; undefined: nobody is asked, and everybody may everything. */
  readonly access?: Access | undefined;
  /** Told of each call that is refused. */
  readonly onRefusal?: OnRefusal | undefined;
  /** The variable that `listen` comes from. */
  readonly variable?: ListenVariable;
  /** How TLS is spoken, where the usual is not wanted. */
  readonly tlsOptions?: TlsOptions;
}

/** Listens. @throws ListenError where the address cannot be had; what {@link openTls} throws */
export async function openHost(dependencies: HostDependencies): Promise<Host> {
  const {
    config,
    logger,
    routes,
    health,
    documents = [],
    access,
    onRefusal,
    variable = "LISTEN",
    tlsOptions,
  } = dependencies;
  const shutdown = new AbortController();
  const stallGuard = createStallGuard(config.streamStallTimeoutMs);
  const tls = config.tls && (await openTls(config.tls, logger, tlsOptions));
  const translate = createFailureTranslation(logger, onRefusal);
  const errors = createErrorInterceptor(translate);
  const gate = access && createGate(access, translate);
  const validation = createValidationInterceptor();
  const doors = access === undefined ? [] : [access.interceptor];
  // Where a credential is asked for, it protects; elsewhere pages must not lend callers from outside their browser.
  const pages = access === undefined ? createPageRules(config.corsOrigins) : undefined;
  const contextValues = createCallerContext(
    config.trustedProxies ?? [],
    access === undefined ? unasked : anonymous,
  );
  const messages = {
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: config.maxMessageBytes,
    writeMaxBytes: config.maxMessageBytes,
  };
  const fullLane =
    config.lane === "off"
      ? undefined
      : createLane({
          routes,
          // It ends calls by itself, at their deadline and when nobody waits for them any more.
          interceptors: [errors, ...doors, validation],
          ...(gate && { gate }),
          ...messages,
          shutdownSignal: shutdown.signal,
          stallTimeoutMs: config.streamStallTimeoutMs,
          commonFields: createCorsFields(config.corsOrigins),
          contextValues,
        });
  const lane = fullLane && pages ? keepPagesOff(fullLane, pages) : fullLane;
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

  const router = createConnectRouter({
    // From the outside in: whatever fails is translated; nobody gets further who may not; then a call ends when
    // nobody waits for it; what reaches a handler has passed its rules.
    interceptors: [
      errors,
      ...doors,
      ...(pages ? [createPageInterceptor(pages)] : []),
      createEndingsInterceptor(shutdown.signal),
      validation,
    ],
    async requestGate(context) {
      blameCallerForUndecodableBytes(context);
      const refusal = await gate?.(context.method, context.values);
      if (refusal !== undefined) throw refusal;
    },
    ...messages,
  });
  routes(router);
  const handlers = router.handlers
    .map(refuseMalformedGet)
    .map(shortenLongTimeouts)
    .map(acceptHalfDuplexOverHttp1)
    .map(acceptGrpcWebText);
  const { corsOrigins } = config;
  const mounted = { handlers, stallGuard, contextValues, logger };
  const app = await createHttpApp({ serverFactory, corsOrigins, health, documents, ...mounted });

  async function release(): Promise<void> {
    stallGuard.close();
    lane?.close();
    tls?.close();
    await app.close();
  }

  let bound: number;
  try {
    bound = await listen(app, config.listen, variable);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    url: `${tls === undefined ? "http" : "https"}://${formatHost(config.listen.host)}:${bound}`,
    async close() {
      shutdown.abort(shutdownError());
      await port?.drain(config.drainTimeoutMs);
      await release();
    },
  };
}
