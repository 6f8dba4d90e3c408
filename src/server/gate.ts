import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError, ContextValues } from "@connectrpc/connect";
import { callScope } from "../platform/call-scope.ts";
import type { Access } from "./interceptors/access.ts";
import type { TranslateFailure } from "./interceptors/failure-translation.ts";

/** Says of a call, before anything of its request is read, whether it is refused: at once where that is known at once. */
export type Gate = (
  method: DescMethod,
  values: ContextValues,
) => ConnectError | undefined | Promise<ConnectError | undefined>;

/** Whoever waits for a call whose request has not been read. */
const somebodyWaits = { aborted: false, reason: undefined };

/** Creates the gate of all ways that a call can take. */
export function createGate({ admit }: Pick<Access, "admit">, translate: TranslateFailure): Gate {
  return (method, values) => {
    const scope = values.get(callScope);
    const refuse = (error: unknown) =>
      translate(error, { method, message: undefined, scope, caller: somebodyWaits });
    try {
      return admit(method, scope)?.catch(refuse);
    } catch (error) {
      return refuse(error);
    }
  };
}
