import type { DescMethod } from "@bufbuild/protobuf";
import { CallScope } from "../../src/platform/call-scope.ts";
import type { LimitsConfig } from "../../src/platform/config.ts";
import { DomainError } from "../../src/platform/errors.ts";
import { type Principal, unasked } from "../../src/platform/principal.ts";
import type { Admission } from "../../src/server/call-life.ts";

/** Bounds that no test meets by chance. */
export const wideLimits: LimitsConfig = {
  maxConcurrentCalls: 1_000,
  maxConcurrentCallsPerCaller: 1_000,
  maxQueuedCalls: 1_000,
  maxStreams: 1_000,
  maxStreamsPerCaller: 1_000,
};

/** A call as admission sees it, without a socket. */
export interface BoundedCall {
  readonly caller: string;
  readonly scope: CallScope;
  state: "waiting" | "running" | "refused" | "left";
  /** Why it was refused. */
  reason: string | undefined;
}

/** Somebody who is known by name. */
export function principalOf(name: string): Principal {
  return { ...unasked, kind: "user", actor: `user:${name}` };
}

/** The scope of a call of somebody who is known. */
export function scopeOf(caller: string, address = "192.0.2.1"): CallScope {
  const origin = { requestHeaders: {}, rawHeaders: [], remoteAddress: address, clientCertificate: undefined };
  const scope = new CallScope(origin, () => address);
  scope.principal = principalOf(caller);
  return scope;
}

/** Begins a call. */
export function beginCall(admission: Admission, method: DescMethod, caller: string): BoundedCall {
  const call: BoundedCall = { caller, scope: scopeOf(caller), state: "running", reason: undefined };
  const refuse = (error: unknown): void => {
    call.state = "refused";
    call.reason = error instanceof DomainError ? error.reason : String(error);
  };
  try {
    admission.arrive(method, call.scope);
    const turn = admission.enter(method, call.scope);
    if (turn === undefined) return call;
    call.state = "waiting";
    turn.then(() => {
      if (call.state === "waiting") call.state = "running";
    }, refuse);
  } catch (error) {
    refuse(error);
  }
  return call;
}

/** Ends it, whatever it does. */
export function endCall(admission: Admission, call: BoundedCall): void {
  call.state = "left";
  admission.leave(call.scope);
}
