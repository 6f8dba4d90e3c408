import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { ConnectError } from "@connectrpc/connect";
import type { Exchange, Fields } from "./exchange.ts";
import { codeOfReset } from "./reset-codes.ts";

/** An exchange on an HTTP/2 stream, without Node's compatibility layer. */
export class Http2Exchange implements Exchange {
  readonly requestHeaders: IncomingHttpHeaders;
  readonly requestBody: ServerHttp2Stream;
  onClose: Exchange["onClose"] = () => {};
  #trailers: Fields | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.requestBody = stream;
    this.requestHeaders = headers;
    stream.on("close", () => this.#close());
    // Whatever breaks a stream also closes it.
    stream.on("error", () => {});
  }

  get url(): string {
    const { requestHeaders: headers } = this;
    const authority = headers[":authority"] ?? headers.host;
    return new URL(`${headers[":scheme"] ?? "http"}://${authority}${headers[":path"]}`).toString();
  }

  get isStarted(): boolean {
    return this.requestBody.headersSent;
  }

  get pendingBytes(): number {
    return this.requestBody.writableLength;
  }

  start(status: number, headers: Fields, withTrailers: boolean): void {
    const stream = this.requestBody;
    if (stream.destroyed || stream.closed) return;
    stream.respond(
      { ":status": status, ...withoutConnectionFields(headers) },
      { waitForTrailers: withTrailers },
    );
    if (withTrailers) stream.on("wantTrailers", () => this.#sendTrailers());
  }

  write(bytes: Uint8Array): boolean {
    const stream = this.requestBody;
    return stream.destroyed || stream.writableEnded ? true : stream.write(bytes);
  }

  drained(): Promise<void> {
    const stream = this.requestBody;
    return new Promise((resolve) => {
      if (stream.destroyed || !stream.writableNeedDrain) return resolve();
      this.#wakeWriter = resolve;
      stream.once("drain", resolve);
    });
  }

  finish(bytes: Uint8Array | undefined, trailers: Fields | undefined): void {
    const stream = this.requestBody;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    // Without trailers, Node ends the stream itself; the rest of the request is nobody's any more.
    if (trailers === undefined && !stream.readableEnded) stream.once("finish", () => this.#refuseRest());
    if (bytes === undefined) stream.end();
    else stream.end(bytes);
  }

  cutOff(why: "stalled" | "broken"): void {
    const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR } = http2.constants;
    // A reset gets through where trailers would wait behind the bytes that nobody reads. gRPC maps the first to
    // RESOURCE_EXHAUSTED.
    this.requestBody.close(why === "stalled" ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR);
  }

  #sendTrailers(): void {
    const stream = this.requestBody;
    if (stream.destroyed || stream.closed) return;
    stream.sendTrailers(withoutConnectionFields(this.#trailers ?? {}));
    if (!stream.readableEnded) this.#refuseRest();
  }

  /** RFC 9113, section 8.1: how a server that has answered asks the client to send no more. */
  #refuseRest(): void {
    const stream = this.requestBody;
    // What has arrived already is read, so that a request that is whole ends by itself.
    stream.resume();
    // Not at once: the event comes from amid the writing of frames, and a reset would overtake those left.
    setImmediate(() => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  }

  #close(): void {
    this.#wakeWriter?.();
    const { rstCode } = this.requestBody;
    const code = codeOfReset(rstCode);
    this.onClose(
      code === undefined
        ? undefined
        : new ConnectError(`http/2 stream closed with error code 0x${rstCode.toString(16)}`, code),
    );
  }
}

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
