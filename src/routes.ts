import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import type { ServiceName } from "./platform/config.ts";
import { createReflectionHandler } from "./server/reflection/reflection.handler.ts";
import { createReflectionIndex } from "./server/reflection/reflection.index.ts";

/** The services of the product, by the name under which a process mounts them: what health reports on. */
const services: Readonly<Record<ServiceName, readonly DescService[]>> = {
  users: [UserService],
  auth: [AuthService, AccessService],
  profiles: [ProfileService],
};

/** An implementation for each service of the product; undefined where it is not mounted. */
export interface Handlers {
  readonly users: ServiceImpl<typeof UserService> | undefined;
  readonly auth: ServiceImpl<typeof AuthService> | undefined;
  readonly access: ServiceImpl<typeof AccessService> | undefined;
  readonly profiles: ServiceImpl<typeof ProfileService> | undefined;
  readonly health: ServiceImpl<typeof Health>;
}

/** The product's services that a process with these names mounts. */
export function listServices(mounted: ReadonlySet<ServiceName>): DescService[] {
  return Object.entries(services).flatMap(([name, list]) => (mounted.has(name as ServiceName) ? list : []));
}

/** The whole RPC surface. */
export function createRoutes(handlers: Handlers, options: { reflection: boolean }) {
  const mounted = new Set<DescService>();
  const reflection = createReflectionHandler(() =>
    createReflectionIndex(
      [...mounted, ServerReflection, ServerReflectionAlpha],
      // No service mentions them, but every error carries them, and tools want to print them.
      [file_google_rpc_error_details],
    ),
  );
  return (router: ConnectRouter): void => {
    function mount<T extends DescService>(service: T, implementation: ServiceImpl<T> | undefined): void {
      if (implementation === undefined) return;
      mounted.add(service);
      router.service(service, implementation);
    }
    mount(UserService, handlers.users);
    mount(AuthService, handlers.auth);
    mount(AccessService, handlers.access);
    mount(ProfileService, handlers.profiles);
    mount(Health, handlers.health);
    if (options.reflection) {
      router.service(ServerReflection, reflection);
      router.service(ServerReflectionAlpha, reflection);
    }
  };
}
