import type { X509Certificate } from "node:crypto";
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { ConnectError } from "@connectrpc/connect";
import { clientCertificateOf } from "./client-certificate.ts";
import type { Exchange, ExchangeListener, Fields } from "./exchange.ts";
import type { Awaited } from "./patience.ts";
import { codeOfReset } from "./reset-codes.ts";
import type { StallWatch } from "./stall-watch.ts";
import { queuedBytes } from "./write-queue.ts";

const exchangeOf = Symbol("exchange");

const addressOf = Symbol("remote address");

interface AddressedSession {
  [addressOf]?: string | undefined;
}

interface CarryingStream extends ServerHttp2Stream {
  [exchangeOf]?: Http2Exchange | undefined;
}

/**
 * An exchange on an HTTP/2 stream, without Node's compatibility layer.
 *
 * Node keeps a stream for some time after it has closed, long enough for the garbage collector to move it to the
 * old generation with all that it refers to. So the listeners are the same functions for all streams, and at the
 * close the stream loses its only reference to the exchange.
 */
export class Http2Exchange implements Exchange {
  readonly requestHeaders: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  receivedBytes = 0;
  sentBytes = 0;
  isPaused = false;
  awaitedBefore: Awaited | undefined = undefined;
  awaitedAfter: Awaited | undefined = undefined;
  readonly #stream: CarryingStream;
  readonly #stalls: StallWatch;
  readonly #onClosed: (() => void) | undefined;
  #listener: ExchangeListener | undefined;
  #trailers: Fields | undefined;
  #wakeWriter: (() => void) | undefined;

  /** @param stalls watches how the end of the response is taken */
  constructor(
    stream: CarryingStream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    stalls: StallWatch,
    onClosed?: () => void,
  ) {
    this.#onClosed = onClosed;
    this.#stream = stream;
    this.#stalls = stalls;
    this.requestHeaders = headers;
    this.rawHeaders = rawHeaders;
    stream[exchangeOf] = this;
  }

  listen(listener: ExchangeListener): void {
    this.#listener = listener;
    const stream = this.#stream;
    stream.on("close", onClose);
    stream.on("error", ignore);
    stream.on("data", onData);
    stream.on("end", onEnd);
  }

  pause(): void {
    this.isPaused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.#stream.resume();
  }

  onData(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    this.#listener?.onData(chunk);
  }

  onEnd(): void {
    // Node ends a stream that is reset with NO_ERROR as if its request were whole.
    if (!this.#stream.closed) this.#listener?.onEnd();
  }

  onClose(): void {
    this.#onClosed?.();
    this.#stalls.taken(this);
    this.#wakeWriter?.();
    const { rstCode } = this.#stream;
    const code = codeOfReset(rstCode);
    this.#listener?.onClose(
      code === undefined
        ? undefined
        : new ConnectError(`http/2 stream closed with error code 0x${rstCode.toString(16)}`, code),
    );
  }

  get remoteAddress(): string | undefined {
    const session = this.#stream.session as AddressedSession | undefined;
    if (session === undefined) return undefined;
    // Asked once: a session's socket is a proxy, and to ask it costs as much as all else that is known of a caller.
    if (session[addressOf] === undefined) session[addressOf] = this.#socket?.remoteAddress;
    return session[addressOf];
  }

  get clientCertificate(): X509Certificate | undefined {
    return clientCertificateOf(this.#socket);
  }

  get #socket(): Socket | undefined {
    const { session } = this.#stream;
    // A session that has closed has no socket, and throws when asked for it.
    return session === undefined || session.destroyed ? undefined : session.socket;
  }

  get url(): string {
    const { requestHeaders: headers } = this;
    const authority = headers[":authority"] ?? headers.host;
    return new URL(`${headers[":scheme"] ?? "http"}://${authority}${headers[":path"]}`).toString();
  }

  get isStarted(): boolean {
    return this.#stream.headersSent;
  }

  get pendingBytes(): number {
    return this.#stream.writableLength;
  }

  get queuedBytes(): number {
    return queuedBytes(this.#socket);
  }

  start(status: number, headers: Fields, withTrailers: boolean): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const fields = withoutConnectionFields(headers);
    fields[":status"] = status as unknown as string;
    stream.respond(fields, { waitForTrailers: withTrailers });
    if (withTrailers) stream.on("wantTrailers", onWantTrailers);
  }

  write(bytes: Uint8Array): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return true;
    this.sentBytes += bytes.length;
    return stream.write(bytes);
  }

  drained(): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve) => {
      if (stream.destroyed || !stream.writableNeedDrain) return resolve();
      this.#wakeWriter = resolve;
      stream.once("drain", resolve);
    });
  }

  finish(bytes: Uint8Array | undefined, trailers: Fields | undefined): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    // Without trailers, Node ends the stream itself; the rest of the request is nobody's any more.
    if (trailers === undefined && !stream.readableEnded) stream.once("finish", () => this.#refuseRest());
    if (bytes === undefined) {
      stream.end();
    } else {
      this.sentBytes += bytes.length;
      stream.end(bytes);
    }
    this.#stalls.waiting(this);
  }

  cutOff(why: "stalled" | "broken"): void {
    const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR } = http2.constants;
    // A reset gets through where trailers would wait behind the bytes that nobody reads. gRPC maps the first to
    // RESOURCE_EXHAUSTED.
    this.#stream.close(why === "stalled" ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR);
  }

  sendTrailers(): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.sendTrailers(withoutConnectionFields(this.#trailers ?? {}));
    if (!stream.readableEnded) this.#refuseRest();
  }

  /** RFC 9113, section 8.1: how a server that has answered asks the client to send no more. */
  #refuseRest(): void {
    const stream = this.#stream;
    // What has arrived already is read, so that a request that is whole ends by itself.
    stream.resume();
    // Not at once: the event comes from amid the writing of frames, and a reset would overtake those left.
    setImmediate(() => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  }
}

function onData(this: CarryingStream, chunk: Buffer): void {
  this[exchangeOf]?.onData(chunk);
}

function onEnd(this: CarryingStream): void {
  this[exchangeOf]?.onEnd();
}

function onWantTrailers(this: CarryingStream): void {
  this[exchangeOf]?.sendTrailers();
}

function onClose(this: CarryingStream): void {
  const exchange = this[exchangeOf];
  this[exchangeOf] = undefined;
  exchange?.onClose();
}

/** Whatever breaks a stream also closes it. */
function ignore(): void {}

const connectionFields = [
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
];

/**
 * RFC 9113, section 8.2.2: fields that are about a connection of HTTP/1.1 must not be sent. A handler that passes
 * on what another server has answered may have some; Node would throw.
 */
function withoutConnectionFields(fields: Fields): Fields {
  if (!connectionFields.some((name) => name in fields)) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !connectionFields.includes(name)));
}
