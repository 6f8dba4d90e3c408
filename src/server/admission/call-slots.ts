import type { CallScope } from "../../platform/call-scope.ts";
import type { LimitsConfig } from "../../platform/config.ts";
import { LinkedList } from "../../platform/linked-list.ts";
import { CallerBook } from "./caller-book.ts";
import { CallerCalls, WaitingCall } from "./caller-calls.ts";
import type { Refusals } from "./refusals.ts";
import { WaitingCalls } from "./waiting-calls.ts";

/** How many calls run and wait at once. */
export type CallBounds = Pick<
  LimitsConfig,
  "maxConcurrentCalls" | "maxConcurrentCallsPerCaller" | "maxQueuedCalls"
>;

/**
 * The slots that calls run in, and the queue of those that wait for one.
 *
 * Slots go round those callers that wait and have fewer than they may, so that a long queue of one delays nobody
 * else by more than a turn. Where the queue is full, a call of somebody who waits for less pushes the last one out of
 * the longest queue: one caller alone may fill it, and takes no room from others by that.
 *
 * Whatever is free is given out at once: while a slot is free, nobody waits who may have it.
 */
export class CallSlots {
  running = 0;
  /** Whether the process is about to end. */
  isDraining = false;
  readonly #bounds: CallBounds;
  readonly #refusals: Refusals;
  readonly #waiting = new WaitingCalls();
  /** Who waits and has fewer slots than it may: the first is next. */
  readonly #turns = new LinkedList<CallerCalls>();
  /** Whoever has something, and some who had. */
  readonly callers = new CallerBook((key) => new CallerCalls(key, this));

  constructor(bounds: CallBounds, refusals: Refusals) {
    this.#bounds = bounds;
    this.#refusals = refusals;
  }

  get queued(): number {
    return this.#waiting.size;
  }

  /**
   * Gives a slot to a call: at once, or when its turn comes.
   *
   * @throws OverloadedError, ShuttingDownError
   */
  enter(scope: CallScope, callerKey: string): undefined | Promise<undefined> {
    const caller = this.callers.of(callerKey);
    if (this.running < this.#bounds.maxConcurrentCalls && this.#mayHaveMore(caller)) {
      this.#give(scope, caller);
      return undefined;
    }
    return this.#wait(scope, caller);
  }

  free(caller: CallerCalls): void {
    this.running -= 1;
    caller.running -= 1;
    if (this.#waiting.size > 0) {
      this.#updateTurn(caller);
      this.#giveNext();
    }
    this.callers.settle(caller);
  }

  abandon(call: WaitingCall): void {
    this.#remove(call);
    this.callers.settle(call.caller);
    call.settle();
  }

  #mayHaveMore(caller: CallerCalls): boolean {
    return caller.running < this.#bounds.maxConcurrentCallsPerCaller;
  }

  #give(scope: CallScope, caller: CallerCalls): void {
    this.running += 1;
    caller.running += 1;
    scope.hold = caller;
  }

  #giveNext(): void {
    const caller = this.#turns.first;
    const call = caller?.waiting.first;
    if (caller === undefined || call === undefined) return;
    this.#give(call.scope, caller);
    // To the end of those who wait, or out of them.
    this.#turns.remove(caller);
    caller.hasTurn = false;
    this.#remove(call);
    call.settle();
  }

  #wait(scope: CallScope, caller: CallerCalls): Promise<undefined> {
    // Whoever would have to wait finds a better place elsewhere.
    if (this.isDraining) this.#refuse(caller, this.#refusals.shuttingDown());
    if (this.#waiting.size >= this.#bounds.maxQueuedCalls) this.#makeRoom(caller);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const call = new WaitingCall(scope, caller, () => resolve(undefined), reject);
    scope.hold = call;
    this.#waiting.add(call);
    this.#updateTurn(caller);
    return promise;
  }

  /** @throws OverloadedError where nobody else waits for more */
  #makeRoom(caller: CallerCalls): void {
    const last = this.#waiting.longest?.waiting.last;
    if (last === undefined || last.caller.waiting.size < caller.waiting.size + 2) {
      const scope = this.#mayHaveMore(caller) ? "process" : "caller";
      this.#refuse(caller, this.#refusals.exhausted("CALLS_EXHAUSTED", scope));
    }
    this.#remove(last);
    last.scope.hold = undefined;
    last.refuse(this.#refusals.exhausted("CALLS_EXHAUSTED", "caller"));
  }

  #refuse(caller: CallerCalls, error: Error): never {
    this.callers.settle(caller);
    throw error;
  }

  #remove(call: WaitingCall): void {
    this.#waiting.remove(call);
    this.#updateTurn(call.caller);
  }

  #updateTurn(caller: CallerCalls): void {
    const hasTurn = caller.waiting.size > 0 && this.#mayHaveMore(caller);
    if (hasTurn === caller.hasTurn) return;
    caller.hasTurn = hasTurn;
    if (hasTurn) this.#turns.push(caller);
    else this.#turns.remove(caller);
  }
}
