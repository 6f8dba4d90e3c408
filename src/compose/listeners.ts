import type { ServiceImpl } from "@connectrpc/connect";
import type { InternalAuthService } from "../../gen/ingestion/internal_auth_pb.ts";
import { createInternalRoutes, createRoutes, type Handlers, listInternalServices } from "../routes.ts";
import type { ConnectionReport } from "../server/connections/connection-report.ts";
import { createHealthHandler } from "../server/health/health.handler.ts";
import { createHealthStatus } from "../server/health/health.status.ts";
import { type Host, type HostDependencies, openHost } from "../server/host.ts";
import type { HttpDocument } from "../server/http-document.ts";
import type { OnRefusal } from "../server/interceptors/failure-translation.ts";
import type { Core } from "./core.ts";

/** What is served, and to whom. */
export interface Served {
  readonly handlers: Omit<Handlers, "health">;
  readonly internalAuth: ServiceImpl<typeof InternalAuthService> | undefined;
  readonly documents: readonly HttpDocument[];
  /** What the internal listener has of the kind. */
  readonly internalDocuments?: readonly HttpDocument[] | undefined;
  /** What stands at the door of both listeners; undefined: nobody is asked. */
  readonly access: HostDependencies["access"];
  /** What keeps the calls of the public listener within bounds. */
  readonly admission: HostDependencies["admission"];
  readonly telemetry: HostDependencies["telemetry"];
  readonly onRefusal: OnRefusal;
}

/** The listeners of a process. */
export interface Listeners {
  readonly url: string;
  /** Undefined where there is no internal listener. */
  readonly internalUrl: string | undefined;
  /** What has become of the connections of each. */
  connections(): Readonly<Record<string, ConnectionReport>>;
  /** Says on both whether the process wants requests. */
  reportHealth(isServing: boolean): void;
}

/**
 * Opens the internal listener and then the public one: whoever reaches the second finds everything there. At the end
 * both drain at the same time.
 *
 * @throws ListenError where an address cannot be had, the system's error where a TLS file cannot be read
 */
export async function openListeners(core: Core, served: Served): Promise<Listeners> {
  const { config, logger, closing, health } = core;
  const { access, telemetry, onRefusal, documents } = served;
  const hosts: Host[] = [];
  closing.push("listeners", async () => void (await Promise.all(hosts.map((host) => host.close()))));

  const internalHealth = createHealthStatus(
    listInternalServices(config.services).map((service) => service.typeName),
  );
  const { internal } = config;
  const internalHost =
    internal &&
    (await openHost({
      // No page has any business here.
      config: { ...config, listen: internal.listen, tls: internal.tls, corsOrigins: [] },
      logger,
      routes: createInternalRoutes(
        { internalAuth: served.internalAuth, health: createHealthHandler(internalHealth) },
        config,
      ),
      health: internalHealth,
      documents: served.internalDocuments ?? [],
      access,
      telemetry,
      onRefusal,
      variable: "INTERNAL_LISTEN",
    }));
  if (internalHost) hosts.push(internalHost);

  const routes = createRoutes({ ...served.handlers, health: createHealthHandler(health) }, config);
  const host = await openHost({
    config,
    logger,
    routes,
    health,
    documents,
    access,
    admission: served.admission,
    telemetry,
    onRefusal,
    variable: "LISTEN",
  });
  hosts.push(host);

  return {
    url: host.url,
    internalUrl: internalHost?.url,
    connections: () => ({
      public: host.connections(),
      ...(internalHost && { internal: internalHost.connections() }),
    }),
    reportHealth(isServing) {
      health.set(isServing);
      internalHealth.set(isServing);
    },
  };
}
