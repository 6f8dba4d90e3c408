import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type Message,
} from "@bufbuild/protobuf";
import {
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
  StructSchema,
} from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";

/** Both RPCs take and give a google.protobuf.Struct: in JSON, any object. */
const struct = ".google.protobuf.Struct";

const file = create(FileDescriptorSetSchema, {
  file: [
    StructSchema.file.proto,
    {
      name: "test/v1/probe.proto",
      package: "test.v1",
      syntax: "proto3",
      dependency: ["google/protobuf/struct.proto"],
      service: [
        {
          name: "ProbeService",
          method: [
            {
              name: "Call",
              inputType: struct,
              outputType: struct,
              options: { idempotencyLevel: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS },
            },
            { name: "Stream", inputType: struct, outputType: struct, serverStreaming: true },
          ],
        },
      ],
    },
  ],
});

const service = createFileRegistry(file).getService("test.v1.ProbeService");

/** `/test.v1.ProbeService/Call`: unary, and free of side effects. */
export const probeCall = service?.method["call"] as DescMethodUnary<DescMessage, DescMessage>;
/** `/test.v1.ProbeService/Stream`: server-streaming. */
export const probeStream = service?.method["stream"] as DescMethodServerStreaming<DescMessage, DescMessage>;

export const callPath = "/test.v1.ProbeService/Call";
export const streamPath = "/test.v1.ProbeService/Stream";

/** What answers the probe's RPCs. */
export interface Probe {
  call?(request: Message, context: HandlerContext): unknown;
  stream?(request: Message, context: HandlerContext): AsyncIterable<Message>;
}

/** Registers the probe's RPCs, those that `probe` has. */
export function probeRoutes(probe: Probe): (router: ConnectRouter) => void {
  return (router) => {
    if (probe.call) router.rpc(probeCall, probe.call as Parameters<typeof router.rpc<typeof probeCall>>[1]);
    if (probe.stream) {
      router.rpc(probeStream, probe.stream as Parameters<typeof router.rpc<typeof probeStream>>[1]);
    }
  };
}
