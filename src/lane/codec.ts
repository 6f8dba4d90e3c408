import {
  type DescMethod,
  fromBinary,
  fromJsonString,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { assertFewParts } from "./message-shape.ts";

/** The two forms a message has on the wire. */
export type Encoding = "binary" | "json";

/** The largest messages, in bytes without their envelope. */
export interface MessageLimits {
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
}

/** Reads an RPC's requests and writes its responses, in one encoding. */
export interface Codec {
  /** @throws ConnectError INVALID_ARGUMENT */
  decode(bytes: Uint8Array): Message;
  /** @throws ConnectError RESOURCE_EXHAUSTED where the message is larger than may be written, else INTERNAL */
  encode(message: Message): Uint8Array;
}

/** What the schema does not know is not kept: nobody reads it, and a message may be full of it. */
export const binaryOptions = { readUnknownFields: false };

const jsonOptions = { ignoreUnknownFields: true };

/** Creates the codec of an RPC. JSON fields that the schema does not know are ignored, as in connect-es. */
export function createCodec(method: DescMethod, encoding: Encoding, { writeMaxBytes }: MessageLimits): Codec {
  const { input, output } = method;
  const decode =
    encoding === "binary"
      ? (bytes: Uint8Array): Message => fromBinary(input, bytes, binaryOptions)
      : (bytes: Uint8Array): Message => fromJsonString(input, decodeText(bytes), jsonOptions);
  const encode =
    encoding === "binary"
      ? (message: Message): Uint8Array => toBinary(output, message)
      : (message: Message): Uint8Array => Buffer.from(toJsonString(output, message));
  const name = (step: string): string => (encoding === "binary" ? `${step} binary: ` : "");
  const parseFailure = name("parse");
  const serializeFailure = name("serialize");
  return {
    decode(bytes) {
      assertFewParts(bytes, encoding);
      try {
        return decode(bytes);
      } catch (error) {
        throw new ConnectError(parseFailure + messageOf(error), Code.InvalidArgument);
      }
    },
    encode(message) {
      let bytes: Uint8Array;
      try {
        bytes = encode(message);
      } catch (error) {
        throw new ConnectError(serializeFailure + messageOf(error), Code.Internal);
      }
      if (bytes.length > writeMaxBytes) {
        throw new ConnectError(
          `message size ${bytes.length} is larger than configured writeMaxBytes ${writeMaxBytes}`,
          Code.ResourceExhausted,
        );
      }
      return bytes;
    },
  };
}

function decodeText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** Well-formed, for where the failure quotes from a message, half a surrogate pair could not be sent in a header. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).toWellFormed();
}
