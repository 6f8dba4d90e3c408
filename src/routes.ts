import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { createReflectionHandler } from "./server/reflection/reflection.handler.ts";
import { createReflectionIndex } from "./server/reflection/reflection.index.ts";

/** An implementation for each service of the product. */
export interface Handlers {
  readonly users: ServiceImpl<typeof UserService>;
  readonly health: ServiceImpl<typeof Health>;
}

/** The product's services: what health reports on. */
export const productServices: readonly DescService[] = [UserService];

/** The whole RPC surface. */
export function createRoutes(handlers: Handlers, options: { reflection: boolean }) {
  const reflection = createReflectionHandler(() =>
    createReflectionIndex(
      [...productServices, Health, ServerReflection, ServerReflectionAlpha],
      // No service mentions them, but every error carries them, and tools want to print them.
      [file_google_rpc_error_details],
    ),
  );
  return (router: ConnectRouter): void => {
    router.service(UserService, handlers.users);
    router.service(Health, handlers.health);
    if (options.reflection) {
      router.service(ServerReflection, reflection);
      router.service(ServerReflectionAlpha, reflection);
    }
  };
}
