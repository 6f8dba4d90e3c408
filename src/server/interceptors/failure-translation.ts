import type { DescMessage, DescMethod, Message, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import type { CallScope } from "../../platform/call-scope.ts";
import { translateDatabaseError } from "../../platform/database-errors.ts";
import { DomainError, type ErrorKind } from "../../platform/errors.ts";
import { LeftOutLines } from "../../platform/left-out-lines.ts";
import { LineBudget } from "../../platform/line-budget.ts";
import type { Logger } from "../../platform/logger.ts";
import { procedureOf } from "../../platform/policy.ts";
import { findRefusal, type Refusal } from "../../platform/refusal.ts";

/** A call that has failed. */
export interface FailedCall {
  readonly method: DescMethod;
  /** What it asks for; undefined where nothing of it was read. */
  readonly message: Message | undefined;
  readonly scope: CallScope;
  /** Whether nobody waits for it any more, and why. */
  readonly caller: Pick<AbortSignal, "aborted" | "reason">;
}

/** A call that was refused. */
export interface RefusedCall extends Pick<FailedCall, "message" | "scope"> {
  readonly procedure: string;
  /** The status that it ends with, e.g. `PERMISSION_DENIED`. */
  readonly outcome: string;
  readonly refusal: Refusal;
}

/** Told of each refused call. Must not throw, nor hold the call up. */
export type OnRefusal = (call: RefusedCall) => void;

/** Turns whatever a call fails with into a status. */
export type TranslateFailure = (failure: unknown, call: FailedCall) => ConnectError;

const codes: Readonly<Record<ErrorKind, Code>> = {
  invalid_argument: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  out_of_range: Code.OutOfRange,
  resource_exhausted: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
};

/** The domain in every ErrorInfo: whose reasons these are. */
const errorDomain = "user-bridge";

/** As many failures a second are logged with their causes. Each takes a kilobyte or two, a broken database fails all calls. */
const loggedFailuresPerSecond = 20;
/** Neither those that are expected hide the others, nor the other way round. */
const failureKinds = { expected: 0, unexpected: 1 };

/**
 * Creates the translation: the one place where that is decided. Expected failures keep their text and gain details
 * (ErrorInfo, BadRequest); anything else is INTERNAL with a request id, and its text goes to the log alone.
 *
 * @param onRefusal told of each call that ends because nobody knows who makes it, or they may not
 */
export function createFailureTranslation(logger: Logger, onRefusal: OnRefusal = () => {}): TranslateFailure {
  const budget = new LineBudget(loggedFailuresPerSecond, Object.keys(failureKinds).length, Date.now());
  const leftOut = new LeftOutLines((counts) => logger.warn({ counts }, "causes of failed calls not logged"));

  function hasRoom(kind: keyof typeof failureKinds, reason: string): boolean {
    const isLeft = budget.take(failureKinds[kind], Date.now());
    if (!isLeft) leftOut.count(reason);
    return isLeft;
  }

  return (failure, { method, message, scope, caller }) => {
    const procedure = procedureOf(method);
    const error = translateDatabaseError(failure);
    if (error instanceof DomainError) {
      if (error.cause !== undefined && hasRoom("expected", error.reason)) {
        logger.warn({ err: error.cause, reason: error.reason, ...describe(procedure, scope) }, "call failed");
      }
      const refusal = findRefusal(error);
      if (refusal !== undefined) {
        onRefusal({ procedure, message, scope, outcome: error.kind.toUpperCase(), refusal });
      }
      return fromDomainError(error);
    }
    if (error instanceof ConnectError) {
      return error;
    }
    if (caller.aborted) {
      // The caller is gone or late; what its work failed with says nothing more.
      return ConnectError.from(caller.reason, Code.Canceled);
    }
    if (hasRoom("unexpected", "INTERNAL")) {
      logger.error({ err: error, ...describe(procedure, scope) }, "call failed unexpectedly");
    }
    return new ConnectError(`internal error; request id ${scope.requestId}`, Code.Internal);
  };
}

/** By what the call's own line is found. */
function describe(procedure: string, { requestId, span }: CallScope) {
  return { procedure, requestId, traceId: span?.traceId };
}

function fromDomainError(error: DomainError): ConnectError {
  const details: { desc: DescMessage; value: MessageInitShape<DescMessage> }[] = [
    {
      desc: ErrorInfoSchema,
      value: { reason: error.reason, domain: errorDomain, metadata: { ...error.metadata } },
    },
  ];
  if (error.violations.length > 0) {
    details.push({
      desc: BadRequestSchema,
      value: {
        fieldViolations: error.violations.map(({ field, description, reason = "" }) => ({
          field,
          description,
          reason,
        })),
      },
    });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(error.retryAfterMs) } });
  }
  const metadata = Object.entries(error.metadata).map(([key, value]): [string, string] => [
    key.replaceAll("_", "-"),
    value,
  ]);
  return new ConnectError(error.message, codes[error.kind], Object.fromEntries(metadata), details);
}
