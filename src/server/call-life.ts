import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError, ContextValues } from "@connectrpc/connect";
import type { CallObserver, EndedCall } from "../lane/ended-call.ts";
import { type CallScope, callScope } from "../platform/call-scope.ts";
import { withoutStack } from "../platform/without-stack.ts";
import type { Access } from "./interceptors/access.ts";
import type { TranslateFailure } from "./interceptors/failure-translation.ts";

/** Says of a call, before anything of its request is read, whether it is refused: at once where that is known at once. */
export type Gate = (
  method: DescMethod,
  values: ContextValues,
) => ConnectError | undefined | Promise<ConnectError | undefined>;

/** Keeps calls within bounds. */
export interface Admission {
  /**
   * Before anybody asks who calls.
   *
   * @throws OverloadedError, RateLimitedError
   */
  arrive(method: DescMethod, scope: CallScope): void;
  /**
   * When it is known who calls. A promise: the call waits for its turn. It is fulfilled, too, when the call leaves
   * meanwhile: whoever waits must see for itself that nothing is left to do.
   *
   * @throws OverloadedError, RateLimitedError
   */
  enter(method: DescMethod, scope: CallScope): undefined | Promise<undefined>;
  /** Nobody works for the call any more. Called for every call that has arrived, once. */
  leave(scope: CallScope): void;
  /** The process is about to end: what cannot be served at once is refused from now on. */
  drain?(): void;
}

/** Told of calls, to count, log and trace them. Must not throw. */
export interface CallTelemetry {
  begun(method: DescMethod, scope: CallScope): void;
  ended(call: EndedCall, scope: CallScope): void;
}

/** What stands around calls, all of it optional. */
export interface CallLifeDependencies {
  readonly access?: Pick<Access, "admit"> | undefined;
  readonly admission?: Admission | undefined;
  readonly telemetry?: CallTelemetry | undefined;
  readonly translate: TranslateFailure;
}

/** What happens to every call before and behind its handler, on every way that it can take. */
export interface CallLife {
  readonly gate: Gate;
  readonly observer: CallObserver;
}

/** Whoever waits for a call whose request has not been read. */
const somebodyWaits = { aborted: false, reason: undefined };

/** Creates it. From the outside in: a call is counted, then bounded, then asked who sends it, then given its turn. */
export function createCallLife({ access, admission, telemetry, translate }: CallLifeDependencies): CallLife {
  function pass(method: DescMethod, scope: CallScope): undefined | Promise<undefined> {
    admission?.arrive(method, scope);
    const admitted = access?.admit(method, scope);
    if (admission === undefined) return admitted;
    return admitted === undefined
      ? admission.enter(method, scope)
      : admitted.then(() => admission.enter(method, scope));
  }

  function refuse(error: unknown, method: DescMethod, scope: CallScope): ConnectError {
    return withoutStack(() => translate(error, { method, message: undefined, scope, caller: somebodyWaits }));
  }

  return {
    gate(method, values) {
      const scope = values.get(callScope);
      telemetry?.begun(method, scope);
      try {
        return pass(method, scope)?.catch((error: unknown) => refuse(error, method, scope));
      } catch (error) {
        return refuse(error, method, scope);
      }
    },
    observer: {
      ended: (call) => telemetry?.ended(call, call.contextValues.get(callScope)),
      released: (values) => admission?.leave(values.get(callScope)),
    },
  };
}
