import { randomUUID } from "node:crypto";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { wrapBursts } from "../../lane/bursts.ts";
import { withMessage } from "../../lane/messages.ts";
import { passThrough } from "../../lane/pass-through.ts";
import { translateDatabaseError } from "../../platform/database-errors.ts";
import { DomainError, type ErrorKind } from "../../platform/errors.ts";
import type { Logger } from "../../platform/logger.ts";

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
 * Turns whatever a call fails with into a status: the one place where that is decided. Expected failures keep
 * their text and gain details (ErrorInfo, BadRequest); anything else is INTERNAL with a request id, and its
 * text goes to the log alone.
 */
export function createErrorInterceptor(logger: Logger): Interceptor {
  return passThrough((next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream
        ? withMessage(
            response,
            wrapBursts(response.message, (items) =>
              translateStream(items, (error) => toConnectError(error, request, logger)),
            ),
          )
        : response;
    } catch (error) {
      throw toConnectError(error, request, logger);
    }
  });
}

/**
 * A stream fails while it is read, long after the call that returned it. Not a generator: one can be left only when
 * its source gives the next item.
 */
function translateStream<T>(
  source: AsyncIterable<T>,
  translate: (error: unknown) => ConnectError,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            return await iterator.next();
          } catch (error) {
            throw translate(error);
          }
        },
        return: async (value) => (await iterator.return?.(value)) ?? { done: true, value },
      };
    },
  };
}

function toConnectError(
  failure: unknown,
  request: UnaryRequest | StreamRequest,
  logger: Logger,
): ConnectError {
  const error = translateDatabaseError(failure);
  if (error instanceof DomainError) {
    if (error.cause !== undefined) {
      logger.warn({ err: error.cause, procedure: procedureOf(request), reason: error.reason }, "call failed");
    }
    return fromDomainError(error);
  }
  if (error instanceof ConnectError) {
    return error;
  }
  if (request.signal.aborted) {
    // The caller is gone or late; what its work failed with says nothing more.
    return ConnectError.from(request.signal.reason, Code.Canceled);
  }
  const requestId = request.header.get("x-request-id") ?? randomUUID();
  logger.error({ err: error, procedure: procedureOf(request), requestId }, "call failed unexpectedly");
  return new ConnectError(`internal error; request id ${requestId}`, Code.Internal, {
    "x-request-id": requestId,
  });
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

function procedureOf(request: UnaryRequest | StreamRequest): string {
  return `/${request.service.typeName}/${request.method.name}`;
}
