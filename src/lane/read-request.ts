import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { BodyWatch, Sender } from "./body-watch.ts";
import type { Call } from "./call.ts";
import { ChunkList } from "./chunk-list.ts";
import { compressedFlag, EnvelopeReader, type EnvelopeTaker, refuseLength } from "./envelope.ts";
import type { ExchangeListener } from "./exchange.ts";
import type { Awaited } from "./patience.ts";
import type { Route } from "./routes.ts";

/** Runs a call whose one request message has been read. */
export type RunCall = (call: Call, message: Message) => void;

/** How requests are read. */
export interface ReadOptions {
  readonly readMaxBytes: number;
  /** Watches requests until they have ended. */
  readonly bodies: BodyWatch;
}

/**
 * Reads the one message of a request and hands it over when the request has ended; what is wrong with it fails
 * the call, as soon as it is known.
 */
export function readRequest(call: Call, options: ReadOptions, run: RunCall): void {
  const reader = call.wire.protocol.enveloped
    ? new EnvelopedReader(call, options, run)
    : new BareReader(call, options, run);
  options.bodies.waiting(reader);
  call.exchange.listen(reader);
  if (!call.wire.protocol.enveloped) {
    const claimed = Number(call.exchange.requestHeaders["content-length"] ?? 0);
    const error = refuseLength(claimed, options.readMaxBytes);
    if (error !== undefined) call.fail(error);
  }
}

abstract class RequestReader implements ExchangeListener, Sender {
  awaitedBefore: Awaited | undefined = undefined;
  awaitedAfter: Awaited | undefined = undefined;
  protected readonly call: Call;
  protected readonly maxBytes: number;
  readonly #bodies: BodyWatch;
  readonly #run: RunCall;

  constructor(call: Call, { readMaxBytes, bodies }: ReadOptions, run: RunCall) {
    this.call = call;
    this.maxBytes = readMaxBytes;
    this.#bodies = bodies;
    this.#run = run;
  }

  get progress(): number | undefined {
    const { exchange, isEnded } = this.call;
    // Over HTTP/2 Node reads nothing either while the peer has not taken what it was sent.
    return isEnded || exchange.isPaused || exchange.queuedBytes > 0 ? undefined : exchange.receivedBytes;
  }

  giveUp(error: ConnectError): void {
    this.call.fail(error);
  }

  /** @throws ConnectError */
  protected abstract feed(chunk: Buffer): void;
  /** @throws ConnectError */
  protected abstract finish(): Message;

  onData(chunk: Buffer): void {
    // The call may have ended before its request has.
    if (this.call.isEnded) return;
    try {
      this.feed(chunk);
    } catch (error) {
      this.call.fail(error as ConnectError);
    }
  }

  onEnd(): void {
    const { call } = this;
    this.#bodies.arrived(this);
    if (call.isEnded) return;
    let message: Message;
    try {
      message = this.finish();
      call.assertInTime();
    } catch (error) {
      call.fail(error as ConnectError);
      return;
    }
    this.#run(call, message);
  }

  onClose(reason: ConnectError | undefined): void {
    this.#bodies.arrived(this);
    this.call.close(reason);
  }
}

/** A message in an envelope, and none beside it but those that carry no message. */
class EnvelopedReader extends RequestReader implements EnvelopeTaker {
  readonly #envelopes = new EnvelopeReader(this.maxBytes, this);
  #message: Message | undefined;

  protected override feed(chunk: Buffer): void {
    this.#envelopes.feed(chunk);
  }

  protected override finish(): Message {
    this.#envelopes.end();
    if (this.#message === undefined) throw countError("missing", this.call.route);
    return this.#message;
  }

  takeEnvelope(flags: number, bytes: Uint8Array): void {
    const { codec, wire, route } = this.call;
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

/** A body that is the message. */
class BareReader extends RequestReader {
  readonly #chunks = new ChunkList();

  protected override feed(chunk: Buffer): void {
    this.#chunks.add(chunk);
    if (this.#chunks.length > this.maxBytes) {
      throw new ConnectError(
        `message size is larger than configured readMaxBytes ${this.maxBytes}`,
        Code.ResourceExhausted,
      );
    }
  }

  protected override finish(): Message {
    return this.call.codec.decode(this.#chunks.toBuffer());
  }
}

/** What a call fails with that has no message, or more than one. */
export function countError(what: "missing" | "received extra", { kind }: Route): ConnectError {
  const name = kind === "unary" ? "unary" : "server-streaming";
  return new ConnectError(`protocol error: ${what} input message for ${name} method`, Code.Unimplemented);
}
