import type { CallerCalls, WaitingCall } from "./caller-calls.ts";

/**
 * What all callers wait for: counted, and sorted by who waits for most. Whatever it does takes the same time, however
 * many wait.
 */
export class WaitingCalls {
  /** How many, in all. */
  size = 0;
  /** Those who wait, by for how many calls. */
  readonly #callers: Set<CallerCalls>[] = [];
  #mostCalls = 0;

  /** Who waits for most calls, or one of them; undefined while nobody waits. */
  get longest(): CallerCalls | undefined {
    return this.#callers[this.#mostCalls]?.values().next().value;
  }

  add(call: WaitingCall): void {
    const { waiting } = call.caller;
    waiting.push(call);
    this.size += 1;
    this.#sort(call.caller, waiting.size - 1);
    if (waiting.size > this.#mostCalls) this.#mostCalls = waiting.size;
  }

  remove(call: WaitingCall): void {
    const { waiting } = call.caller;
    waiting.remove(call);
    this.size -= 1;
    this.#sort(call.caller, waiting.size + 1);
    if (this.#callers[this.#mostCalls]?.size === 0) this.#mostCalls -= 1;
  }

  #sort(caller: CallerCalls, formerSize: number): void {
    const { size } = caller.waiting;
    this.#callers[formerSize]?.delete(caller);
    if (size === 0) return;
    this.#callers[size] ??= new Set();
    this.#callers[size].add(caller);
  }
}
