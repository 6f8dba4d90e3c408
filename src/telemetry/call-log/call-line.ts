import { Code, type ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { EndedCall } from "../../lane/ended-call.ts";
import type { CallScope } from "../../platform/call-scope.ts";
import { procedureOf } from "../../platform/policy.ts";

/** What the log says of a call. What callers have a say in is bounded: of a request id, 128 visible characters. */
export interface CallLine {
  readonly requestId: string;
  readonly traceId: string | undefined;
  /** As the audit log has it: `user:ID`, `key:ID` … */
  readonly principal: string;
  readonly credential: string | undefined;
  readonly address: string;
  /** `users.v1.UserService/GetUser`. */
  readonly method: string;
  readonly protocol: EndedCall["protocol"];
  readonly stream: true | undefined;
  /** `ok`, or the status, e.g. `NOT_FOUND`. */
  readonly code: string;
  /** Of the error's ErrorInfo, e.g. `CREDENTIAL_MISSING`. */
  readonly reason: string | undefined;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** How grave a way of ending is. What the caller has to mend is not. */
export type Gravity = "info" | "warn" | "error";

const upperCase = (name: string): string => name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();

const codeNames = new Map<Code | undefined, string>(
  Object.entries(Code)
    .filter((entry): entry is [string, Code] => typeof entry[1] === "number")
    .map(([name, code]) => [code, upperCase(name)]),
);

const gravities = new Map<Code | undefined, Gravity>([
  [Code.ResourceExhausted, "warn"],
  [Code.Unavailable, "warn"],
  [Code.DeadlineExceeded, "warn"],
  [Code.Internal, "error"],
  [Code.Unknown, "error"],
  [Code.DataLoss, "error"],
]);

/** The name of a status: `ok`, or as gRPC has it, e.g. `NOT_FOUND`. */
export function nameOfCode(error: ConnectError | undefined): string {
  return error === undefined ? "ok" : (codeNames.get(error.code) ?? "UNKNOWN");
}

/** How grave it is that a call has ended so. */
export function gravityOf(error: ConnectError | undefined): Gravity {
  return error === undefined ? "info" : (gravities.get(error.code) ?? "info");
}

/** Describes a call that has ended. */
export function toCallLine(call: EndedCall, scope: CallScope): CallLine {
  const { method, protocol, error, durationMs, requestBytes, responseBytes } = call;
  const { principal } = scope;
  return {
    requestId: scope.requestId,
    traceId: scope.span?.traceId,
    principal: principal.actor,
    credential: principal.credential === "" ? undefined : principal.credential,
    address: scope.address,
    method: procedureOf(method),
    protocol,
    stream: method.methodKind === "unary" ? undefined : true,
    code: nameOfCode(error),
    reason: error && findReason(error),
    durationMs: Math.round(durationMs * 100) / 100,
    requestBytes,
    responseBytes,
  };
}

/** Of an error that was made here: its details are not encoded yet. */
function findReason({ details }: ConnectError): string | undefined {
  for (const detail of details) {
    if ("desc" in detail && detail.desc === ErrorInfoSchema) {
      return (detail.value as { readonly reason?: string }).reason;
    }
  }
  return undefined;
}
