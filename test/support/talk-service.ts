import {
  create,
  createFileRegistry,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, MethodImpl } from "@connectrpc/connect";

const text = ".google.protobuf.StringValue";

const file = create(FileDescriptorSetSchema, {
  file: [
    StringValueSchema.file.proto,
    {
      name: "test/v1/talk.proto",
      package: "test.v1",
      syntax: "proto3",
      dependency: ["google/protobuf/wrappers.proto"],
      service: [
        {
          name: "TalkService",
          method: [
            { name: "Listen", inputType: text, outputType: text, serverStreaming: true },
            { name: "Tell", inputType: text, outputType: text, clientStreaming: true },
            { name: "Talk", inputType: text, outputType: text, clientStreaming: true, serverStreaming: true },
          ],
        },
      ],
    },
  ],
});

const service = createFileRegistry(file).getService("test.v1.TalkService");
type Text = typeof StringValueSchema;

/** `test.v1.TalkService/Listen`: messages come. */
export const listen = service?.method["listen"] as DescMethodServerStreaming<Text, Text>;
/** `test.v1.TalkService/Tell`: messages go. */
export const tell = service?.method["tell"] as DescMethodClientStreaming<Text, Text>;
/** `test.v1.TalkService/Talk`: messages come and go. */
export const talk = service?.method["talk"] as DescMethodBiDiStreaming<Text, Text>;

/** What answers the RPCs. */
export interface Talker {
  readonly listen: MethodImpl<typeof listen>;
  readonly tell: MethodImpl<typeof tell>;
  readonly talk: MethodImpl<typeof talk>;
}

/** Registers the RPCs. */
export function talkRoutes(talker: Talker): (router: ConnectRouter) => void {
  return (router) => {
    router.rpc(listen, (request, context) => talker.listen(request, context));
    router.rpc(tell, (requests, context) => talker.tell(requests, context));
    router.rpc(talk, (requests, context) => talker.talk(requests, context));
  };
}
