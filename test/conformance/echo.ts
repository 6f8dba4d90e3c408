import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  type ConformancePayload_RequestInfo,
  ConformancePayload_RequestInfoSchema,
  type Error as ErrorDefinition,
  type StreamResponseDefinition,
  type UnaryResponseDefinition,
} from "../../.cache/conformance/gen/connectrpc/conformance/v1/service_pb.ts";

type NamedValues = Iterable<readonly [name: string, value: string]>;

/** What the server has seen of a call: headers, timeout, requests, and the query of a GET. */
export function describeCall(
  context: HandlerContext,
  requests: readonly Any[],
): ConformancePayload_RequestInfo {
  const timeoutMs = context.timeoutMs();
  return create(ConformancePayload_RequestInfoSchema, {
    requestHeaders: toHeaders(context.requestHeader),
    requests: [...requests],
    ...(timeoutMs !== undefined && { timeoutMs: BigInt(timeoutMs) }),
    ...(context.requestMethod === "GET" && {
      connectGetInfo: { queryParams: toHeaders(new URL(context.url).searchParams) },
    }),
  });
}

/** Sets the headers and trailers that an answer is to have, be it a response or an error. */
export function applyMetadata(
  definition: UnaryResponseDefinition | StreamResponseDefinition | undefined,
  context: HandlerContext,
): void {
  for (const { name, value } of definition?.responseHeaders ?? []) {
    for (const one of value) context.responseHeader.append(name, one);
  }
  for (const { name, value } of definition?.responseTrailers ?? []) {
    for (const one of value) context.responseTrailer.append(name, one);
  }
}

/** The error that a definition asks for, with its details and, where given, the echo of the call. */
export function toConnectError(
  definition: ErrorDefinition,
  requestInfo: ConformancePayload_RequestInfo | undefined,
): ConnectError {
  // The suite numbers its codes as the protocols do.
  const code = definition.code as number as Code;
  const echo =
    requestInfo === undefined ? [] : [{ desc: ConformancePayload_RequestInfoSchema, value: requestInfo }];
  const error = new ConnectError(definition.message ?? "", code, undefined, echo);
  // Details of any type, as bytes: they are passed on, not read.
  error.details.unshift(
    ...definition.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    })),
  );
  return error;
}

function toHeaders(pairs: NamedValues): { name: string; value: string[] }[] {
  return Array.from(pairs, ([name, value]) => ({ name, value: [value] }));
}
