import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Call } from "./call.ts";
import { compressedFlag, EnvelopeReader, refuseLength } from "./envelope.ts";
import type { Route } from "./routes.ts";

/**
 * Reads the one message of a request and hands it over when the request has ended; what is wrong with it fails
 * the call, as soon as it is known.
 */
export function readRequest(call: Call, maxBytes: number, onMessage: (message: Message) => void): void {
  const { requestBody: body, requestHeaders } = call.exchange;
  const reader = call.wire.protocol.enveloped
    ? new EnvelopedMessage(call, maxBytes)
    : new BareMessage(call, maxBytes);
  if (!call.wire.protocol.enveloped) {
    const error = refuseLength(Number(requestHeaders["content-length"] ?? 0), maxBytes);
    if (error !== undefined) call.fail(error);
  }
  body.on("data", (chunk: Buffer) => {
    // The call may have ended before its request has.
    if (call.isEnded) return;
    try {
      reader.feed(chunk);
    } catch (error) {
      call.fail(error as ConnectError);
    }
  });
  body.on("end", () => {
    // Node ends a stream that is reset with NO_ERROR as if its request were whole.
    if (call.isEnded || body.closed) return;
    let message: Message;
    try {
      message = reader.end();
      call.assertInTime();
    } catch (error) {
      call.fail(error as ConnectError);
      return;
    }
    onMessage(message);
  });
}

/** A message in an envelope, and none beside it but those that carry no message. */
class EnvelopedMessage {
  readonly #call: Call;
  readonly #envelopes: EnvelopeReader;
  #message: Message | undefined;

  constructor(call: Call, maxBytes: number) {
    this.#call = call;
    this.#envelopes = new EnvelopeReader(maxBytes, (flags, bytes) => this.#take(flags, bytes));
  }

  feed(chunk: Buffer): void {
    this.#envelopes.feed(chunk);
  }

  end(): Message {
    this.#envelopes.end();
    if (this.#message === undefined) throw countError("missing", this.#call.route);
    return this.#message;
  }

  #take(flags: number, bytes: Uint8Array): void {
    const { codec, wire, route } = this.#call;
    if ((flags & compressedFlag) !== 0) {
      throw new ConnectError(
        "received compressed envelope, but do not know how to decompress",
        Code.Internal,
      );
    }
    if ((flags & wire.protocol.endFlag) !== 0) return;
    const message = codec.decode(bytes);
    if (this.#message !== undefined) throw countError("received extra", route);
    this.#message = message;
  }
}

/** What a call fails with that has no message, or more than one. */
export function countError(what: "missing" | "received extra", { kind }: Route): ConnectError {
  const name = kind === "unary" ? "unary" : "server-streaming";
  return new ConnectError(`protocol error: ${what} input message for ${name} method`, Code.Unimplemented);
}

/** A body that is the message. */
class BareMessage {
  readonly #call: Call;
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(call: Call, maxBytes: number) {
    this.#call = call;
    this.#maxBytes = maxBytes;
  }

  feed(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length > this.#maxBytes) {
      throw new ConnectError(
        `message size is larger than configured readMaxBytes ${this.#maxBytes}`,
        Code.ResourceExhausted,
      );
    }
  }

  end(): Message {
    const [first] = this.#chunks;
    const isWhole = this.#chunks.length === 1 && first !== undefined;
    return this.#call.codec.decode(isWhole ? first : Buffer.concat(this.#chunks));
  }
}
