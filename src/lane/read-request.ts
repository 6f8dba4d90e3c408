import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Call } from "./call.ts";
import { assertReadable, compressedFlag, createEnvelopeReader } from "./envelope.ts";

/**
 * Reads the one message of a request and hands it over when the request has ended; what is wrong with it fails
 * the call, as soon as it is known.
 */
export function readRequest(call: Call, maxBytes: number, onMessage: (message: Message) => void): void {
  const body = call.exchange.requestBody;
  const reader = call.wire.protocol.enveloped ? readEnvelope(call, maxBytes) : readBare(call, maxBytes);

  function attempt(step: () => void): void {
    // The call may have ended before its request has.
    if (call.isEnded) return;
    try {
      step();
    } catch (error) {
      body.removeAllListeners("data");
      call.fail(error as ConnectError);
    }
  }
  body.on("data", (chunk: Buffer) => attempt(() => reader.feed(chunk)));
  body.on("end", () => attempt(() => onMessage(reader.end())));
}

interface MessageReader {
  feed(chunk: Buffer): void;
  end(): Message;
}

function readEnvelope({ codec, wire, route }: Call, maxBytes: number): MessageReader {
  let message: Message | undefined;
  const kind = route.kind === "unary" ? "unary" : "server-streaming";
  const envelopes = createEnvelopeReader(maxBytes, (flags, bytes) => {
    if ((flags & compressedFlag) !== 0) {
      throw new ConnectError(
        "received compressed envelope, but do not know how to decompress",
        Code.Internal,
      );
    }
    if (wire.protocol.endFlag !== 0 && (flags & wire.protocol.endFlag) !== 0) return;
    const decoded = codec.decode(bytes);
    if (message !== undefined) {
      throw new ConnectError(
        `protocol error: received extra input message for ${kind} method`,
        Code.Unimplemented,
      );
    }
    message = decoded;
  });
  return {
    feed: (chunk) => envelopes.feed(chunk),
    end() {
      envelopes.end();
      if (message === undefined) {
        throw new ConnectError(
          `protocol error: missing input message for ${kind} method`,
          Code.Unimplemented,
        );
      }
      return message;
    },
  };
}

function readBare({ codec, exchange }: Call, maxBytes: number): MessageReader {
  const chunks: Buffer[] = [];
  let length = 0;
  const claimed = Number(exchange.requestHeaders["content-length"] ?? 0);
  return {
    feed(chunk) {
      assertReadable(claimed, maxBytes);
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) {
        throw new ConnectError(
          `message size is larger than configured readMaxBytes ${maxBytes}`,
          Code.ResourceExhausted,
        );
      }
    },
    end() {
      const [first] = chunks;
      return codec.decode(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    },
  };
}
