import { setTimeout as sleep } from "node:timers/promises";
import { createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type BidiStreamRequest,
  BidiStreamRequestSchema,
  type BidiStreamResponseSchema,
  ClientStreamRequestSchema,
  type ConformancePayloadSchema,
  ConformanceService,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "../../.cache/conformance/gen/connectrpc/conformance/v1/service_pb.ts";
import { applyMetadata, describeCall, toConnectError } from "./echo.ts";

/** Registers the service that the suite calls; what each RPC does is laid down in the suite's service.proto. */
export function registerConformanceService(router: ConnectRouter): void {
  router.service(ConformanceService, implementation, {
    // Answers echo requests as google.protobuf.Any, which has a JSON form only for types that are known.
    jsonOptions: {
      registry: createRegistry(
        UnaryRequestSchema,
        IdempotentUnaryRequestSchema,
        ClientStreamRequestSchema,
        ServerStreamRequestSchema,
        BidiStreamRequestSchema,
      ),
    },
    // The suite limits what the server receives. An echo of a request of just that size is larger than it.
    writeMaxBytes: 16 * 1024 ** 2,
  });
}

/** All but one: `unimplemented` is there to be missing. */
const implementation: Omit<ServiceImpl<typeof ConformanceService>, "unimplemented"> = {
  async unary(request, context) {
    return {
      payload: await answer(request.responseDefinition, [anyPack(UnaryRequestSchema, request)], context),
    };
  },

  async idempotentUnary(request, context) {
    const echo = anyPack(IdempotentUnaryRequestSchema, request);
    return { payload: await answer(request.responseDefinition, [echo], context) };
  },

  async clientStream(requests, context) {
    let definition: UnaryResponseDefinition | undefined;
    const echoes: Any[] = [];
    for await (const request of requests) {
      if (echoes.length === 0) {
        definition = request.responseDefinition;
      }
      echoes.push(anyPack(ClientStreamRequestSchema, request));
    }
    return { payload: await answer(definition, echoes, context) };
  },

  async *serverStream(request, context) {
    const { responseDefinition: definition } = request;
    const echo = anyPack(ServerStreamRequestSchema, request);
    applyMetadata(definition, context);
    for (const [index, data] of (definition?.responseData ?? []).entries()) {
      await sleep(definition?.responseDelayMs, undefined, { signal: context.signal });
      yield { payload: index === 0 ? { data, requestInfo: describeCall(context, [echo]) } : { data } };
    }
    throwDefinedError(definition, [echo], context);
  },

  async *bidiStream(requests, context) {
    let first: BidiStreamRequest | undefined;
    let echoes: Any[] = [];
    let sentCount = 0;

    async function nextResponse(
      definition: StreamResponseDefinition,
    ): Promise<MessageInitShape<typeof BidiStreamResponseSchema>> {
      await sleep(definition.responseDelayMs, undefined, { signal: context.signal });
      const data = definition.responseData[sentCount] ?? new Uint8Array();
      const requestInfo = sentCount === 0 ? describeCall(context, echoes) : { requests: echoes };
      sentCount += 1;
      echoes = [];
      return { payload: { data, requestInfo } };
    }

    for await (const request of requests) {
      if (first === undefined) {
        first = request;
        applyMetadata(first.responseDefinition, context);
      }
      echoes.push(anyPack(BidiStreamRequestSchema, request));
      if (first.fullDuplex) {
        const definition = first.responseDefinition;
        if (definition === undefined || sentCount >= definition.responseData.length) {
          break;
        }
        yield await nextResponse(definition);
      }
    }
    // Half duplex: all of them. Full duplex: those that the client has sent too few requests for.
    const definition = first?.responseDefinition;
    while (definition !== undefined && sentCount < definition.responseData.length) {
      yield await nextResponse(definition);
    }
    throwDefinedError(definition, echoes, context);
  },
};

/** The one answer to a call that has one, or the error that was asked for in its place. */
async function answer(
  definition: UnaryResponseDefinition | undefined,
  echoes: readonly Any[],
  context: HandlerContext,
): Promise<MessageInitShape<typeof ConformancePayloadSchema>> {
  applyMetadata(definition, context);
  await sleep(definition?.responseDelayMs, undefined, { signal: context.signal });
  const requestInfo = describeCall(context, echoes);
  switch (definition?.response.case) {
    case "error":
      throw toConnectError(definition.response.value, requestInfo);
    case "responseData":
      return { data: definition.response.value, requestInfo };
    default:
      return { requestInfo };
  }
}

/** Ends a stream with the error that was asked for, if any; it echoes the call where no response has. */
function throwDefinedError(
  definition: StreamResponseDefinition | undefined,
  echoes: readonly Any[],
  context: HandlerContext,
): void {
  if (definition?.error !== undefined) {
    const isFirst = definition.responseData.length === 0;
    throw toConnectError(definition.error, isFirst ? describeCall(context, echoes) : undefined);
  }
}
