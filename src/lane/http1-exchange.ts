import type { X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { clientCertificateOf } from "./client-certificate.ts";
import type { Exchange, ExchangeListener, Fields } from "./exchange.ts";
import type { Awaited } from "./patience.ts";
import type { StallWatch } from "./stall-watch.ts";
import { queuedBytes } from "./write-queue.ts";

/** How long a client may go on sending what nobody reads. */
const discardTimeoutMs = 5_000;

/** An exchange over HTTP/1.1. */
export class Http1Exchange implements Exchange {
  receivedBytes = 0;
  sentBytes = 0;
  isPaused = false;
  awaitedBefore: Awaited | undefined = undefined;
  awaitedAfter: Awaited | undefined = undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #stalls: StallWatch;
  #wakeWriter: (() => void) | undefined;

  /** @param stalls watches how the end of the response is taken */
  constructor(request: IncomingMessage, response: ServerResponse, stalls: StallWatch) {
    this.#request = request;
    this.#response = response;
    this.#stalls = stalls;
  }

  listen(listener: ExchangeListener): void {
    const [request, response] = [this.#request, this.#response];
    response.on("close", () => {
      this.#stalls.taken(this);
      this.#wakeWriter?.();
      listener.onClose(undefined);
    });
    // Whatever breaks a connection also closes it.
    response.on("error", () => {});
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      listener.onData(chunk);
    });
    request.on("end", () => listener.onEnd());
  }

  pause(): void {
    this.isPaused = true;
    this.#request.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.#request.resume();
  }

  get requestHeaders(): IncomingHttpHeaders {
    return this.#request.headers;
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get remoteAddress(): string | undefined {
    return this.#request.socket.remoteAddress;
  }

  get clientCertificate(): X509Certificate | undefined {
    return clientCertificateOf(this.#request.socket);
  }

  get url(): string {
    const { socket, headers, url } = this.#request;
    const scheme = (socket as TLSSocket).encrypted ? "https" : "http";
    return new URL(`${scheme}://${headers.host}${url}`).toString();
  }

  get isStarted(): boolean {
    return this.#response.headersSent;
  }

  get pendingBytes(): number {
    const { socket, writableLength } = this.#response;
    // One that was asked for behind another has no socket until that is sent: its reader cannot take it yet.
    return socket === null ? 0 : writableLength;
  }

  get queuedBytes(): number {
    return queuedBytes(this.#response.socket);
  }

  start(status: number, headers: Fields): void {
    this.#response.writeHead(status, headers);
    // Node keeps the head back for the first part of the body, which may be long in coming.
    if (status === 200) queueMicrotask(() => this.#flushHead());
  }

  write(bytes: Uint8Array): boolean {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return true;
    this.sentBytes += bytes.length;
    return response.write(bytes);
  }

  drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve) => {
      if (response.destroyed || !response.writableNeedDrain) return resolve();
      this.#wakeWriter = resolve;
      response.once("drain", resolve);
    });
  }

  finish(bytes: Uint8Array | undefined, trailers: Fields | undefined): void {
    const response = this.#response;
    if (response.destroyed) return;
    if (trailers !== undefined) response.addTrailers(trailers as Record<string, string>);
    if (!this.#request.complete) response.once("finish", () => discardRest(this.#request));
    if (bytes === undefined) {
      response.end();
    } else {
      this.sentBytes += bytes.length;
      response.end(bytes);
    }
    this.#stalls.waiting(this);
  }

  cutOff(): void {
    this.#response.destroy();
  }

  #flushHead(): void {
    const response = this.#response;
    if (!response.writableEnded && !response.destroyed) response.flushHeaders();
  }
}

/**
 * Reads on after an early answer, for a while: closing at once would reset the connection under an answer that
 * is still on its way, and Node neither reads nor closes a request that has been read in part.
 */
export function discardRest(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), discardTimeoutMs);
  for (const event of ["end", "close"]) request.once(event, () => clearTimeout(timer));
}
