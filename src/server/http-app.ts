import type { UniversalHandler } from "@connectrpc/connect/protocol";
import fastifyCors from "@fastify/cors";
import {
  type FastifyInstance,
  type FastifyServerFactory,
  type FastifyServerOptions,
  fastify,
  LogController,
} from "fastify";
import { createCorsOptions } from "./cors.ts";
import type { HealthStatus } from "./health/health.status.ts";
import { type HttpDocument, serveDocuments } from "./http-document.ts";
import { type MountDependencies, mountHandlers } from "./mount.ts";
import { answerUnknownPath } from "./unknown-rpc.ts";

/** What the application is made of. */
export interface HttpAppDependencies extends MountDependencies {
  /** Makes the server that it answers the requests of. */
  readonly serverFactory: FastifyServerFactory;
  /** As {@link createCorsOptions} takes them. */
  readonly corsOrigins: readonly string[] | undefined;
  readonly handlers: readonly UniversalHandler[];
  readonly health: HealthStatus;
  readonly documents: readonly HttpDocument[];
}

/** Builds what answers all requests that are not the fast lane's: RPCs, probes, documents and CORS. */
export async function createHttpApp(dependencies: HttpAppDependencies): Promise<FastifyInstance> {
  const { serverFactory, logger, corsOrigins, handlers, health, documents } = dependencies;
  const app = fastify({
    serverFactory,
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    schemaController: withoutSchemas,
    return503OnClosing: false,
  }) as unknown as FastifyInstance;
  await app.register(fastifyCors, createCorsOptions(corsOrigins));
  await mountHandlers(app, handlers, dependencies);
  app.get("/healthz", () => ({ status: "ok" }));
  app.get("/readyz", (_request, reply) =>
    reply.code(health.isServing ? 200 : 503).send({ status: health.isServing ? "ready" : "not ready" }),
  );
  serveDocuments(app, documents);
  app.setNotFoundHandler(answerUnknownPath);
  return app;
}

/** Fastify would otherwise load its two compilers of JSON schemas, a hundred modules, for routes that have none. */
const withoutSchemas: NonNullable<FastifyServerOptions["schemaController"]> = {
  compilersFactory: { buildValidator: refuseSchemas, buildSerializer: refuseSchemas },
};

function refuseSchemas(): never {
  throw new Error("no route here has a JSON schema; to give it one, remove `withoutSchemas`");
}
