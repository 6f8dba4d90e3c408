import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { type Codec, createCodec, type MessageLimits } from "./codec.ts";

interface RouteCommon {
  readonly binary: Codec;
  readonly json: Codec;
}

/** A unary RPC and what implements it. */
export interface UnaryRoute extends RouteCommon {
  readonly kind: "unary";
  readonly method: DescMethodUnary;
  readonly implementation: (request: Message, context: HandlerContext) => unknown;
}

/** A server-streaming RPC and what implements it. */
export interface StreamRoute extends RouteCommon {
  readonly kind: "server_streaming";
  readonly method: DescMethodServerStreaming;
  readonly implementation: (request: Message, context: HandlerContext) => AsyncIterable<Message>;
}

/** An RPC that the lane can answer. */
export type Route = UnaryRoute | StreamRoute;

/**
 * Collects, by path, the RPCs that the lane can answer, from the very function that registers them with
 * connect-es. RPCs that stream requests are left out, and so are those registered with options of their own.
 */
export function collectRoutes(
  register: (router: ConnectRouter) => void,
  limits: MessageLimits,
): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();

  function add(method: DescMethod, implementation: unknown): void {
    if (typeof implementation !== "function") return;
    if (method.methodKind !== "unary" && method.methodKind !== "server_streaming") return;
    routes.set(`/${method.parent.typeName}/${method.name}`, {
      kind: method.methodKind,
      method,
      implementation,
      binary: createCodec(method, "binary", limits),
      json: createCodec(method, "json", limits),
    } as Route);
  }

  const router: ConnectRouter = {
    handlers: [],
    service(service, implementations, options) {
      if (options === undefined) {
        for (const method of service.methods) {
          const implementation: unknown = implementations[method.localName];
          add(
            method,
            typeof implementation === "function" ? implementation.bind(implementations) : undefined,
          );
        }
      }
      return router;
    },
    rpc(method, implementation, options) {
      if (options === undefined) add(method, implementation);
      return router;
    },
  };
  register(router);
  return routes;
}
