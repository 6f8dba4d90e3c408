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

/**
 * Creates the translation: the one place where that is decided. Expected failures keep their text and gain details
 * (ErrorInfo, BadRequest); anything else is INTERNAL with a request id, and its text goes to the log alone.
 *
 * @param onRefusal told of each call that ends because nobody knows who makes it, or they may not
 */
export function createFailureTranslation(logger: Logger, onRefusal: OnRefusal = () => {}): TranslateFailure {
  return (failure, { method, message, scope, caller }) => {
    const procedure = procedureOf(method);
    const error = translateDatabaseError(failure);
    if (error instanceof DomainError) {
      if (error.cause !== undefined) {
        logger.warn({ err: error.cause, procedure, reason: error.reason }, "call failed");
      }
      const refusal = findRefusal(error);
      if (refusal === undefined) return fromDomainError(error);
      onRefusal({ procedure, message, scope, outcome: error.kind.toUpperCase(), refusal });
      // So that whoever asks why can say which call it was: the audit log knows it by this.
      return fromDomainError(error, { "x-request-id": scope.requestId });
    }
    if (error instanceof ConnectError) {
      return error;
    }
    if (caller.aborted) {
      // The caller is gone or late; what its work failed with says nothing more.
      return ConnectError.from(caller.reason, Code.Canceled);
    }
    const { requestId } = scope;
    logger.error({ err: error, procedure, requestId }, "call failed unexpectedly");
    return new ConnectError(`internal error; request id ${requestId}`, Code.Internal, {
      "x-request-id": requestId,
    });
  };
}

function fromDomainError(error: DomainError, fields: Readonly<Record<string, string>> = {}): ConnectError {
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
  const header = { ...Object.fromEntries(metadata), ...fields };
  return new ConnectError(error.message, codes[error.kind], header, details);
}
