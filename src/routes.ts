import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import type { ServiceName } from "./platform/config.ts";
import { createReflectionHandler } from "./server/reflection/reflection.handler.ts";
import { createReflectionIndex } from "./server/reflection/reflection.index.ts";

/** The product's services on a listener, by the name under which a process mounts them. */
type ListenerServices = Readonly<Record<ServiceName, readonly DescService[]>>;

const publicServices: ListenerServices = {
  users: [UserService],
  auth: [AuthService, AccessService, ApiKeyService, AuditService],
  profiles: [ProfileService],
};

const internalServices: ListenerServices = { users: [], auth: [InternalAuthService], profiles: [] };

/** An implementation for each service of the public listener; undefined where it is not mounted. */
export interface Handlers {
  readonly users: ServiceImpl<typeof UserService> | undefined;
  readonly auth: ServiceImpl<typeof AuthService> | undefined;
  readonly access: ServiceImpl<typeof AccessService> | undefined;
  readonly apiKeys: ServiceImpl<typeof ApiKeyService> | undefined;
  readonly audit: ServiceImpl<typeof AuditService> | undefined;
  readonly profiles: ServiceImpl<typeof ProfileService> | undefined;
  readonly health: ServiceImpl<typeof Health>;
}

/** An implementation for each service of the internal listener; undefined where it is not mounted. */
export interface InternalHandlers {
  readonly internalAuth: ServiceImpl<typeof InternalAuthService> | undefined;
  readonly health: ServiceImpl<typeof Health>;
}

/** What both listeners can be told. */
export interface RouteOptions {
  /** Whether the listener describes itself to whoever asks. */
  readonly reflection: boolean;
}

/** Registers services at a router. */
export type Routes = (router: ConnectRouter) => void;

/** The product's services on the public listener of a process that mounts these: what health reports on. */
export function listServices(mounted: ReadonlySet<ServiceName>): DescService[] {
  return servicesOf(publicServices, mounted);
}

/** The same for the internal listener. */
export function listInternalServices(mounted: ReadonlySet<ServiceName>): DescService[] {
  return servicesOf(internalServices, mounted);
}

function servicesOf(services: ListenerServices, mounted: ReadonlySet<ServiceName>): DescService[] {
  return Object.entries(services).flatMap(([name, list]) => (mounted.has(name as ServiceName) ? list : []));
}

/** The whole RPC surface of the public listener. */
export function createRoutes(handlers: Handlers, options: RouteOptions): Routes {
  return describeThemselves(options, (mount) => {
    mount(UserService, handlers.users);
    mount(AuthService, handlers.auth);
    mount(AccessService, handlers.access);
    mount(ApiKeyService, handlers.apiKeys);
    mount(AuditService, handlers.audit);
    mount(ProfileService, handlers.profiles);
    mount(Health, handlers.health);
  });
}

/** The whole RPC surface of the internal listener. */
export function createInternalRoutes(handlers: InternalHandlers, options: RouteOptions): Routes {
  return describeThemselves(options, (mount) => {
    mount(InternalAuthService, handlers.internalAuth);
    mount(Health, handlers.health);
  });
}

type Mount = <T extends DescService>(service: T, implementation: ServiceImpl<T> | undefined) => void;

/** Routes with reflection, where it is on, that tells of no service but those of the same listener. */
function describeThemselves({ reflection }: RouteOptions, mountAll: (mount: Mount) => void): Routes {
  const mounted = new Set<DescService>();
  const handler = createReflectionHandler(() =>
    createReflectionIndex(
      [...mounted, ServerReflection, ServerReflectionAlpha],
      // No service mentions them, but every error carries them, and tools want to print them.
      [file_google_rpc_error_details],
    ),
  );
  return (router) => {
    mountAll((service, implementation) => {
      if (implementation === undefined) return;
      mounted.add(service);
      router.service(service, implementation);
    });
    if (reflection) {
      router.service(ServerReflection, handler);
      router.service(ServerReflectionAlpha, handler);
    }
  };
}
