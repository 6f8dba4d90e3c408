import type { CallHold, CallScope } from "../../platform/call-scope.ts";
import { type Linked, LinkedList } from "../../platform/linked-list.ts";

/** Where slots come from. */
interface Slots {
  /** A call has ended that ran. */
  free(caller: CallerCalls): void;
  /** A call has ended that waited. */
  abandon(call: WaitingCall): void;
}

/** What one caller has and waits for: what each of its calls that run holds. */
export class CallerCalls implements CallHold, Linked<CallerCalls> {
  previous: CallerCalls | undefined;
  next: CallerCalls | undefined;
  readonly key: string;
  readonly slots: Slots;
  running = 0;
  /** In the order of arrival. */
  readonly waiting = new LinkedList<WaitingCall>();
  /** Whether it is among those that get the next slots. */
  hasTurn = false;

  constructor(key: string, slots: Slots) {
    this.key = key;
    this.slots = slots;
  }

  get isIdle(): boolean {
    return this.running === 0 && this.waiting.size === 0;
  }

  giveBack(): void {
    this.slots.free(this);
  }
}

/** A call that waits for a slot: what it holds meanwhile. */
export class WaitingCall implements CallHold, Linked<WaitingCall> {
  previous: WaitingCall | undefined;
  next: WaitingCall | undefined;
  readonly scope: CallScope;
  readonly caller: CallerCalls;
  /** Its turn has come, or nobody waits for it any more. */
  readonly settle: () => void;
  readonly refuse: (error: Error) => void;

  constructor(scope: CallScope, caller: CallerCalls, settle: () => void, refuse: (error: Error) => void) {
    this.scope = scope;
    this.caller = caller;
    this.settle = settle;
    this.refuse = refuse;
  }

  giveBack(): void {
    this.caller.slots.abandon(this);
  }
}
