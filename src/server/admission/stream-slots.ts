import type { CallHold, CallScope } from "../../platform/call-scope.ts";
import type { LimitsConfig } from "../../platform/config.ts";
import { CallerBook } from "./caller-book.ts";
import type { Refusals } from "./refusals.ts";

/** How many streams are open at once. */
export type StreamBounds = Pick<LimitsConfig, "maxStreams" | "maxStreamsPerCaller">;

/** Counts streams. Nobody waits for one: they last, so nobody could say for how long. */
export class StreamSlots {
  open = 0;
  readonly #bounds: StreamBounds;
  readonly #refusals: Refusals;
  /** Whoever has something, and some who had. */
  readonly callers = new CallerBook((key) => new CallerStreams(key, this));

  constructor(bounds: StreamBounds, refusals: Refusals) {
    this.#bounds = bounds;
    this.#refusals = refusals;
  }

  /** @throws OverloadedError */
  enter(scope: CallScope, callerKey: string): void {
    const caller = this.callers.of(callerKey);
    const isCallersOwn = caller.open >= this.#bounds.maxStreamsPerCaller;
    if (isCallersOwn || this.open >= this.#bounds.maxStreams) {
      this.callers.settle(caller);
      throw this.#refusals.exhausted("STREAMS_EXHAUSTED", isCallersOwn ? "caller" : "process");
    }
    this.open += 1;
    caller.open += 1;
    scope.hold = caller;
  }

  free(caller: CallerStreams): void {
    this.open -= 1;
    caller.open -= 1;
    this.callers.settle(caller);
  }
}

/** The streams of one caller: what each of them holds. */
class CallerStreams implements CallHold {
  readonly key: string;
  readonly #slots: StreamSlots;
  open = 0;

  constructor(key: string, slots: StreamSlots) {
    this.key = key;
    this.#slots = slots;
  }

  get isIdle(): boolean {
    return this.open === 0;
  }

  giveBack(): void {
    this.#slots.free(this);
  }
}
