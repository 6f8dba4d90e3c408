import type { DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import type { CallObserver, EndedCall } from "../lane/ended-call.ts";
import { brokenAnswer, callerIsGone, isGone } from "./unsent-answer.ts";

/** What an observed call is made of. */
export interface ObservedCallOptions {
  readonly method: DescMethod;
  readonly contextValues: ContextValues;
  /** Aborts when the exchange is over: answered, or left by its peer. */
  readonly exchangeSignal: AbortSignal;
  readonly httpVersion: string;
  readonly observer: CallObserver;
}

/**
 * A call on connect-es's path, for whoever is told of its end.
 *
 * connect-es aborts the context of a call with what the call fails with before it writes that, in all three protocols
 * and wherever it fails: at the gate, while its request is read, in an interceptor, at its deadline. Where it ends well,
 * there is no reason.
 */
export class ObservedCall {
  receivedBytes = 0;
  sentBytes = 0;
  readonly #options: ObservedCallOptions;
  readonly #beganAt = performance.now();
  /** Undefined until its gate has been asked: before, it is no call. */
  #protocol: EndedCall["protocol"] | undefined;
  #isDecided = false;
  #error: ConnectError | undefined;
  #durationMs = 0;
  #workers = 0;
  #isReleased = false;
  #isOver = false;

  constructor(options: ObservedCallOptions) {
    this.#options = options;
    const { exchangeSignal } = options;
    if (exchangeSignal.aborted) this.#isOver = true;
    else exchangeSignal.addEventListener("abort", () => this.#close(), { once: true });
  }

  /** Its gate has been asked: from now on, whatever becomes of it is told. */
  begin(context: HandlerContext): void {
    if (this.#protocol !== undefined) return;
    this.#protocol = context.protocolName as EndedCall["protocol"];
    this.#listenToAborts(context);
    const { signal } = context;
    const decide = (): void => this.#decide(this.#toError(signal.reason));
    if (signal.aborted) decide();
    else signal.addEventListener("abort", decide, { once: true });
    if (this.#isOver) this.#close();
  }

  /** Somebody works for it, until {@link endWork}. */
  beginWork(): void {
    this.#workers += 1;
  }

  endWork(): void {
    this.#workers -= 1;
    this.#release();
  }

  /** Its answer is left before its end: it cannot be written, or nobody takes it. */
  leave(reason: unknown): void {
    const isBroken = reason !== undefined && !isGone(reason);
    if (!this.#isDecided) this.#decide(isBroken ? brokenAnswer() : callerIsGone());
    // What has gone well so far comes to nothing where it cannot be sent.
    else if (isBroken && !this.#isOver) this.#error ??= brokenAnswer();
  }

  /**
   * Where an answer cannot be made of what a handler gives, as one that is too large, connect-es aborts for no reason
   * first, and then for that. No signal tells of the second.
   */
  #listenToAborts(context: HandlerContext & { abort?: (reason?: unknown) => void }): void {
    const { abort } = context;
    if (abort === undefined) return;
    context.abort = (reason) => {
      abort(reason);
      if (reason !== undefined && !this.#isOver) this.#error ??= this.#toError(reason);
    };
  }

  #toError(reason: unknown): ConnectError | undefined {
    const { exchangeSignal, httpVersion } = this.#options;
    if (exchangeSignal.aborted && reason === exchangeSignal.reason) {
      // Whatever a client resets a stream with, it has left; only the code of a reader that has stalled is our own.
      const isStalled = reason instanceof ConnectError && reason.code === Code.ResourceExhausted;
      return isStalled && httpVersion.startsWith("2") ? reason : callerIsGone();
    }
    if (reason instanceof ConnectError) return reason;
    if (reason instanceof DOMException && reason.name === "AbortError") return undefined;
    return isGone(reason) ? callerIsGone() : brokenAnswer();
  }

  #decide(error: ConnectError | undefined): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    this.#error = error;
    this.#durationMs = performance.now() - this.#beganAt;
    this.#release();
  }

  #release(): void {
    if (!this.#isDecided || this.#workers > 0 || this.#isReleased || this.#protocol === undefined) return;
    this.#isReleased = true;
    this.#options.observer.released(this.#options.contextValues);
  }

  #close(): void {
    this.#isOver = true;
    if (this.#protocol === undefined) return;
    // Not at once: what else hears of the same end, and knows more of it, comes first.
    queueMicrotask(() => this.#end());
  }

  #end(): void {
    const { method, contextValues, observer } = this.#options;
    if (this.#protocol === undefined) return;
    this.#decide(callerIsGone());
    observer.ended({
      method,
      contextValues,
      protocol: this.#protocol,
      error: this.#error,
      durationMs: this.#durationMs,
      requestBytes: this.receivedBytes,
      responseBytes: this.sentBytes,
    });
  }
}

/** The call that is observed, in its context values. */
export const observedCall = createContextKey<ObservedCall | undefined>(undefined, {
  description: "who is told of the call's end",
});
