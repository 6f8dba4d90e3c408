import { type ConnectRouter, createConnectRouter, type Interceptor } from "@connectrpc/connect";
import type { Compression, UniversalHandler } from "@connectrpc/connect/protocol";
import type { BodyWatch } from "../lane/body-watch.ts";
import { binaryOptions, type MessageLimits } from "../lane/codec.ts";
import { type LimitTimeout, limitDeadlines } from "./call-deadline.ts";
import type { CallLife } from "./call-life.ts";
import { refuseMalformedGet } from "./connect-get.ts";
import { guardBody } from "./connections/body-guard.ts";
import { acceptGrpcWebText } from "./grpc-web-text.ts";
import { acceptHalfDuplexOverHttp1 } from "./half-duplex.ts";
import { createObservedWorkInterceptor } from "./interceptors/observed-work.ts";
import { observeGate, observeHandler } from "./observed-handler.ts";
import { blameCallerForUndecodableBytes } from "./undecodable.ts";

/** What connect-es's own path shares with the lane. */
export interface ConnectPathDependencies extends CallLife {
  /** Registers every service. */
  readonly routes: (router: ConnectRouter) => void;
  /** From the outside in. */
  readonly interceptors: readonly Interceptor[];
  readonly limitTimeout: LimitTimeout;
  readonly bodies: BodyWatch;
  readonly messages: MessageLimits & { readonly acceptCompression: Compression[] };
}

/**
 * Creates connect-es's own handlers, for all calls that the lane leaves alone, with what they lack of it: the gate, the
 * end of a call, deadlines, timers for bodies, and what clients send that connect-es does not take.
 */
export function createConnectHandlers(dependencies: ConnectPathDependencies): UniversalHandler[] {
  const { routes, interceptors, gate, observer, limitTimeout, bodies, messages } = dependencies;
  const askGate = observeGate(gate);
  const router = createConnectRouter({
    interceptors: [...interceptors, createObservedWorkInterceptor()],
    async requestGate(context) {
      blameCallerForUndecodableBytes(context);
      await askGate(context);
      refuseMalformedGet(context);
    },
    ...messages,
    binaryOptions,
  });
  routes(router);
  return router.handlers
    .map(limitDeadlines(limitTimeout))
    .map(acceptHalfDuplexOverHttp1)
    .map(guardBody(bodies))
    .map(acceptGrpcWebText)
    .map(observeHandler(observer));
}
