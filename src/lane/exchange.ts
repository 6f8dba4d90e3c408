import type { X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { ConnectError } from "@connectrpc/connect";

/** Header or trailer fields to send, names in lower case. */
export type Fields = OutgoingHttpHeaders;

/** Takes what an exchange brings. */
export interface ExchangeListener {
  /** A part of the request's body. */
  onData(chunk: Buffer): void;
  /** The request has arrived whole. */
  onEnd(): void;
  /** Called once, when nothing can be sent any more: the response has ended, or the peer is gone, if known why. */
  onClose(reason: ConnectError | undefined): void;
}

/** One HTTP request and its response, of either HTTP version. */
export interface Exchange {
  /** With the pseudo-header fields of HTTP/2. */
  readonly requestHeaders: IncomingHttpHeaders;
  /** The same as they arrived, names and values in turn: of some that come more than once, Node keeps one there. */
  readonly rawHeaders: readonly string[];
  /** The IP address of the connection's other end; undefined where the connection is closed. Read when it is read. */
  readonly remoteAddress: string | undefined;
  /** The certificate that the connection's other end has shown; undefined where there is none. Read when it is read. */
  readonly clientCertificate: X509Certificate | undefined;
  /** Absolute, e.g. `http://127.0.0.1:8080/users.v1.UserService/GetUser`. Made when it is read. */
  readonly url: string;
  /** Whether the response's header fields have been sent. */
  readonly isStarted: boolean;
  /** Bytes of the request's body that have arrived. */
  readonly receivedBytes: number;
  /** Bytes of the response's body that have been written. */
  readonly sentBytes: number;
  /** Bytes that were written and that the peer, or the kernel, has not taken yet. */
  readonly pendingBytes: number;
  /** Bytes that its connection was given and that the kernel has not taken, whomever they are for. */
  readonly queuedBytes: number;
  /** Whether nothing of the request's body is read now. */
  readonly isPaused: boolean;
  /** Begins to read the request's body. Must be called at once, and once. */
  listen(listener: ExchangeListener): void;
  /** Reads no more of the request's body, so that its peer can send no more of it, until {@link resume}. */
  pause(): void;
  resume(): void;
  /**
   * Sends the header fields, which are the exchange's own from then on. `withTrailers` must be true if
   * {@link finish} will have trailers.
   */
  start(status: number, headers: Fields, withTrailers: boolean): void;
  /** Sends a part of the body. False: wait for {@link drained} before the next. */
  write(bytes: Uint8Array): boolean;
  /** Resolves when more can be written, or nothing can be any more. */
  drained(): Promise<void>;
  /** Sends the last part of the body and the trailers. Nothing can be sent after it. */
  finish(bytes: Uint8Array | undefined, trailers: Fields | undefined): void;
  /** Ends the exchange at once: the peer takes no bytes, or the response cannot be sent. */
  cutOff(why: "stalled" | "broken"): void;
}
