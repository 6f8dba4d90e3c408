import type { X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { clientCertificateOf } from "./client-certificate.ts";
import type { Exchange, ExchangeListener, Fields } from "./exchange.ts";

/** How long a client may go on sending what nobody reads. */
const discardTimeoutMs = 5_000;

/** An exchange over HTTP/1.1. */
export class Http1Exchange implements Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #wakeWriter: (() => void) | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  listen(listener: ExchangeListener): void {
    const [request, response] = [this.#request, this.#response];
    response.on("close", () => {
      this.#wakeWriter?.();
      listener.onClose(undefined);
    });
    // Whatever breaks a connection also closes it.
    response.on("error", () => {});
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => listener.onData(chunk));
    request.on("end", () => listener.onEnd());
  }

  pause(): void {
    this.#request.pause();
  }

  resume(): void {
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
    return this.#response.writableLength;
  }

  start(status: number, headers: Fields): void {
    this.#response.writeHead(status, headers);
    // Node keeps the head back for the first part of the body, which may be long in coming.
    if (status === 200) queueMicrotask(() => this.#flushHead());
  }

  write(bytes: Uint8Array): boolean {
    const response = this.#response;
    return response.destroyed || response.writableEnded ? true : response.write(bytes);
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
    if (bytes === undefined) response.end();
    else response.end(bytes);
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
