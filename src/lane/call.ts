import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { grpcStatusOk } from "@connectrpc/connect/protocol-grpc";
import type { Codec } from "./codec.ts";
import type { Wire } from "./content-type.ts";
import type { CallObserver } from "./ended-call.ts";
import type { Exchange, Fields } from "./exchange.ts";
import { toHeaders } from "./fields.ts";
import { answerError } from "./response.ts";
import type { Route } from "./routes.ts";
import type { SharedDeadline } from "./shared-deadline.ts";

/** Why the signal of a call aborts that has ended well. One for all: each costs a stack trace. */
const completed = new DOMException("the call has completed", "AbortError");

/** What a call is made of. */
export interface CallOptions {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly wire: Wire;
  /** How to compress what is large; undefined: not at all. */
  readonly compression: Compression | undefined;
  readonly timeoutMs: number | undefined;
  /** Ends the call when its time is over; undefined: the call has a timer of its own. */
  readonly sharedDeadline: SharedDeadline | undefined;
  /** Header fields that every response to this caller has, whatever the call comes to. */
  readonly commonFields: Fields;
  /** Makes what handlers and interceptors find in the call's context, if any of them looks. */
  readonly makeContextValues: (exchange: Exchange) => ContextValues;
  readonly observer: CallObserver | undefined;
}

/**
 * One call while it lasts. Whatever a handler or an interceptor may read but most do not (header objects, the
 * signal, the URL) is made when it is read.
 */
export class Call {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly wire: Wire;
  readonly codec: Codec;
  readonly compression: Compression | undefined;
  readonly commonFields: Fields;
  /** Whether its outcome has been decided: whatever comes later is dropped. */
  isEnded = false;
  /** Called when the outcome has been decided, however. */
  onEnd: (() => void) | undefined;
  /** Called when the exchange is over: answered, or left by its peer. */
  onClose: (() => void) | undefined;
  #requestHeader: Headers | undefined;
  #contextValues: ContextValues | undefined;
  readonly #makeContextValues: (exchange: Exchange) => ContextValues;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #controller: AbortController | undefined;
  #reason: unknown;
  /** When its time is over; `performance.now()`. */
  readonly endsAt: number | undefined;
  readonly #sharedDeadline: SharedDeadline | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #observer: CallObserver | undefined;
  readonly #beganAt: number;
  #durationMs = 0;
  #isWorkedFor = false;
  #isLeft = false;

  constructor(options: CallOptions) {
    const { route, wire, timeoutMs } = options;
    this.exchange = options.exchange;
    this.route = route;
    this.wire = wire;
    this.codec = route[wire.encoding];
    this.compression = options.compression;
    this.commonFields = options.commonFields;
    this.#makeContextValues = options.makeContextValues;
    this.#observer = options.observer;
    this.#beganAt = performance.now();
    if (timeoutMs !== undefined) {
      this.endsAt = this.#beganAt + timeoutMs;
      this.#sharedDeadline = options.sharedDeadline;
      if (this.#sharedDeadline === undefined) {
        this.#timer = setTimeout(expire, Math.max(0, timeoutMs), this);
      } else {
        this.#sharedDeadline.add(this);
      }
    }
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isEnded) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** What {@link signal} says, without making it. */
  get aborted(): boolean {
    return this.isEnded;
  }

  /** Whether it has ended, and not well: nothing that is still done for it is of use to anybody. */
  get isGivenUp(): boolean {
    return this.isEnded && this.#reason !== completed;
  }

  get reason(): unknown {
    return this.#reason;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= toHeaders(this.exchange.requestHeaders);
    return this.#requestHeader;
  }

  get contextValues(): ContextValues {
    this.#contextValues ??= this.#makeContextValues(this.exchange);
    return this.#contextValues;
  }

  /** What the handler and interceptors have set, and what the protocol needs; undefined while nobody has read it. */
  get touchedResponseHeader(): Headers | undefined {
    return this.#responseHeader;
  }

  get touchedResponseTrailer(): Headers | undefined {
    return this.#responseTrailer;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers(this.protocolFields as Record<string, string>);
    return this.#responseHeader;
  }

  set responseHeader(header: Headers) {
    this.#responseHeader = header;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers(
      this.wire.protocol.name === "connect" ? {} : { "grpc-status": grpcStatusOk },
    );
    return this.#responseTrailer;
  }

  set responseTrailer(trailer: Headers) {
    this.#responseTrailer = trailer;
  }

  /** The header fields that the protocol itself asks for. */
  get protocolFields(): Fields {
    const { protocol, contentType } = this.wire;
    return this.compression === undefined || !protocol.enveloped
      ? { "content-type": contentType }
      : { "content-type": contentType, [protocol.encodingHeader]: this.compression.name };
  }

  remainingMs(): number | undefined {
    return this.endsAt === undefined ? undefined : this.endsAt - performance.now();
  }

  /** @throws ConnectError DEADLINE_EXCEEDED where the deadline has passed, though no timer may have told so yet */
  assertInTime(): void {
    if (this.endsAt !== undefined && this.endsAt <= performance.now()) throw timedOut();
  }

  /** Decides the outcome: the deadline is off, and who works for the call is told. */
  end(reason: unknown = completed): void {
    this.isEnded = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#sharedDeadline?.delete(this);
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.onEnd?.();
    if (this.#observer !== undefined) {
      this.#durationMs = performance.now() - this.#beganAt;
      if (!this.#isWorkedFor) this.#observer.released(this.contextValues);
    }
  }

  /** Its handler begins. */
  beginWork(): void {
    this.#isWorkedFor = true;
  }

  /** Its handler, and whatever it waits for, has come to an end. */
  endWork(): void {
    this.#isWorkedFor = false;
    if (this.isEnded) this.#observer?.released(this.contextValues);
  }

  /** Ends the call with an error and answers with it, unless its outcome has been decided. */
  fail(error: ConnectError): void {
    if (this.isEnded) return;
    this.end(error);
    try {
      answerError(this, error);
    } catch {
      // What it should have been told cannot be sent, as where a handler has set a field that HTTP forbids.
      this.exchange.cutOff("broken");
    }
  }

  /** Its time is over. */
  expire(): void {
    this.fail(timedOut());
  }

  /** The exchange is over. */
  close(reason: ConnectError | undefined): void {
    if (!this.isEnded) {
      this.#isLeft = true;
      this.end(reason ?? callerIsGone());
    }
    this.onClose?.();
    this.#observer?.ended({
      method: this.route.method,
      contextValues: this.contextValues,
      protocol: this.wire.protocol.name,
      error: this.#isLeft ? toLeaving(this.#reason) : toError(this.#reason),
      durationMs: this.#durationMs,
      requestBytes: this.exchange.receivedBytes,
      responseBytes: this.exchange.sentBytes,
    });
  }
}

function toError(reason: unknown): ConnectError | undefined {
  return reason instanceof ConnectError ? reason : undefined;
}

/**
 * Whatever code a client resets a stream with, it has left: connect-node's own deadlines end with INTERNAL_ERROR, which says
 * nothing of the server. Only one code is our own: that of a reader that has stalled.
 */
function toLeaving(reason: unknown): ConnectError {
  return reason instanceof ConnectError && reason.code === Code.ResourceExhausted ? reason : callerIsGone();
}

function callerIsGone(): ConnectError {
  return new ConnectError("the caller is gone", Code.Canceled);
}

function expire(call: Call): void {
  call.expire();
}

function timedOut(): ConnectError {
  return new ConnectError("the operation timed out", Code.DeadlineExceeded);
}
