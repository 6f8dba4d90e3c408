import type { ConnectRouter } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { FastifyServerFactory } from "fastify";
import { createBodyWatch } from "../lane/body-watch.ts";
import { boundParts } from "../lane/compression.ts";
import { createLane } from "../lane/lane.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { anonymous, unasked } from "../platform/principal.ts";
import { createTimeoutLimit } from "./call-deadline.ts";
import { type Admission, type CallTelemetry, createCallLife } from "./call-life.ts";
import { createCallerContext } from "./caller-address.ts";
import { createConnectHandlers } from "./connect-path.ts";
import { defaultConnectionConfig } from "./connections/connection-limits.ts";
import { type ConnectionReport, reportConnections } from "./connections/connection-report.ts";
import type { RequestListener } from "./connections/listeners.ts";
import { createCorsFields } from "./cors.ts";
import { createFloodGuard } from "./flood-guard.ts";
import type { HealthStatus } from "./health/health.status.ts";
import { createHttpApp } from "./http-app.ts";
import type { HttpDocument } from "./http-document.ts";
import type { Access } from "./interceptors/access.ts";
import { createCurrentWorkInterceptor } from "./interceptors/current-work.ts";
import { createEndingsInterceptor, shutdownError } from "./interceptors/endings.ts";
import { createErrorInterceptor } from "./interceptors/errors.ts";
import { createFailureTranslation, type OnRefusal } from "./interceptors/failure-translation.ts";
import { createPageInterceptor } from "./interceptors/pages.ts";
import { createValidationInterceptor } from "./interceptors/validation.ts";
import { formatHost, type ListenVariable, listen } from "./listen.ts";
import { createOnePort, type OnePort } from "./one-port.ts";
import { createPageRules, keepPagesOff } from "./page-rules.ts";
import { nameAnswer, withRequestId } from "./request-id.ts";
import { rejectMalformedTarget } from "./request-target.ts";
import { createStallGuard } from "./stall-guard.ts";
import { openTls, type TlsOptions } from "./tls.ts";
import { allowEarlyAnswer } from "./unread-body.ts";

/** A listener with everything on it. */
export interface Host {
  /** Where it is reached, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** What has become of its connections, and of slow peers on them. */
  connections(): ConnectionReport;
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
  Partial<Pick<Config, "trustedProxies" | "connections" | "deadlines">> & {
    readonly tls?: Config["tls"] | undefined;
  };

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
  /** Keeps calls within bounds; undefined: there are none. */
  readonly admission?: Admission | undefined;
  /** Told of calls. */
  readonly telemetry?: CallTelemetry | undefined;
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
    admission,
    telemetry,
    onRefusal,
    variable = "LISTEN",
    tlsOptions,
  } = dependencies;
  const shutdown = new AbortController();
  const stallGuard = createStallGuard(config.streamStallTimeoutMs);
  const connections = config.connections ?? defaultConnectionConfig;
  const bodies = createBodyWatch(connections.bodyTimeoutMs);
  const floodGuard = createFloodGuard(logger);
  const tls = config.tls && (await openTls(config.tls, logger, tlsOptions));
  const translate = createFailureTranslation(logger, onRefusal);
  const errors = createErrorInterceptor(translate);
  const { gate, observer } = createCallLife({ access, admission, telemetry, translate });
  const validation = createValidationInterceptor();
  const work = createCurrentWorkInterceptor();
  const doors = access === undefined ? [] : [access.interceptor];
  // Where a credential is asked for, it protects; elsewhere pages must not lend callers from outside their browser.
  const pages = access === undefined ? createPageRules(config.corsOrigins) : undefined;
  const contextValues = createCallerContext(
    config.trustedProxies ?? [],
    access === undefined ? unasked : anonymous,
  );
  const limitTimeout = createTimeoutLimit(config.deadlines);
  const messages = {
    acceptCompression: [compressionGzip, compressionBrotli].map(boundParts),
    readMaxBytes: config.maxMessageBytes,
    writeMaxBytes: config.maxMessageBytes,
  };
  const fullLane =
    config.lane === "off"
      ? undefined
      : createLane({
          routes,
          // It ends calls by itself, at their deadline and when nobody waits for them any more.
          interceptors: [errors, ...doors, validation, work],
          gate,
          observer,
          limitTimeout,
          ...messages,
          shutdownSignal: shutdown.signal,
          stallTimeoutMs: config.streamStallTimeoutMs,
          bodyTimeoutMs: connections.bodyTimeoutMs,
          commonFields: withRequestId(createCorsFields(config.corsOrigins)),
          contextValues,
        });
  const lane = fullLane && pages ? keepPagesOff(fullLane, pages) : fullLane;
  let port: OnePort | undefined;

  const serverFactory: FastifyServerFactory = (handle) => {
    port = createOnePort(
      (request, response) => {
        // Over HTTP/2 the lane has seen the request already.
        if (!("stream" in request) && lane?.takeRequest(request, response) === true) return;
        nameAnswer(request, response);
        allowEarlyAnswer(request, response);
        stallGuard.guard(response);
        if (!rejectMalformedTarget(request, response)) {
          (handle as unknown as RequestListener)(request, response);
        }
      },
      {
        tls,
        maxStreamsPerConnection: config.maxStreamsPerConnection,
        takeStream: lane?.takeStream,
        watchSession: floodGuard.watch,
        connections,
        logger,
      },
    );
    return port.server as ReturnType<FastifyServerFactory>;
  };

  const handlers = createConnectHandlers({
    routes,
    // From the outside in: whatever fails is translated; nobody gets further who may not; then a call ends when
    // nobody waits for it; what reaches a handler has passed its rules, and its work is somebody's.
    interceptors: [
      errors,
      ...doors,
      ...(pages ? [createPageInterceptor(pages)] : []),
      createEndingsInterceptor(shutdown.signal),
      validation,
      work,
    ],
    gate,
    observer,
    limitTimeout,
    bodies,
    messages,
  });
  const { corsOrigins } = config;
  const mounted = { handlers, stallGuard, contextValues, logger };
  const app = await createHttpApp({ serverFactory, corsOrigins, health, documents, ...mounted });

  async function release(): Promise<void> {
    stallGuard.close();
    bodies.close();
    floodGuard.close();
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
    connections: () => reportConnections({ port: port as OnePort, lane, stallGuard, bodies }),
    async close() {
      admission?.drain?.();
      shutdown.abort(shutdownError());
      await port?.drain(config.drainTimeoutMs);
      await release();
    },
  };
}
