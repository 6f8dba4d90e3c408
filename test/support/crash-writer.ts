import assert from "node:assert/strict";
import type { LogAccess, PlainEvent } from "./log-access.ts";
import { Refusal } from "./log-access.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** What a write is, as its event shows it. The username says whose: it is unique and never changes. */
export interface Step {
  readonly username: string;
  readonly type: string;
  readonly email: string;
  readonly isActive: boolean;
}

/** What one writer has done to its own users, over all lives of the server. */
export interface WriterLedger {
  readonly name: string;
  /** Users that exist, as far as the writer knows. */
  readonly users: Map<string, { readonly id: string; readonly last: Step }>;
  /** Every write that was acknowledged, in order. */
  readonly acknowledged: Step[];
  /** The write that was under way when the server died: it may have happened or not. */
  pending: Step | undefined;
  registrations: number;
}

/** A writer that has done nothing yet. */
export function createLedger(name: string): WriterLedger {
  return { name, users: new Map(), acknowledged: [], pending: undefined, registrations: 0 };
}

/** The step that an event shows. */
export function stepOf({ type, user }: PlainEvent): Step {
  return { username: user.username, type, email: user.email, isActive: user.isActive };
}

/** Writes one thing after the other until the server is gone. */
export async function writeUntilGone(
  random: SeededRandom,
  access: LogAccess,
  ledger: WriterLedger,
  onAcknowledged: () => void,
): Promise<void> {
  for (;;) {
    const { step, send } = chooseWrite(random, access, ledger);
    ledger.pending = step;
    try {
      settle(ledger, step, await send());
    } catch (error) {
      if (error instanceof Refusal || error instanceof assert.AssertionError) throw error;
      return;
    }
    ledger.acknowledged.push(step);
    ledger.pending = undefined;
    onAcknowledged();
  }
}

/** Takes note of what a step has done. */
export function settle({ users }: WriterLedger, step: Step, id: string): void {
  if (step.type === "user_deleted") {
    users.delete(step.username);
  } else {
    users.set(step.username, { id, last: step });
  }
}

function chooseWrite(
  random: SeededRandom,
  access: LogAccess,
  ledger: WriterLedger,
): { step: Step; send: () => Promise<string> } {
  const known = random.pickAny([...ledger.users.values()]);
  const choice = random.integer(1, 10);
  if (known === undefined || choice <= 5) {
    ledger.registrations += 1;
    const username = `${ledger.name}n${ledger.registrations}`;
    const email = `${username}@example.com`;
    const step = { username, type: "user_registered", email, isActive: true };
    return { step, send: async () => (await access.register(email, username)).id };
  }
  const { id, last } = known;
  const idAfter = (call: Promise<unknown>) => call.then(() => id);
  if (choice <= 7) {
    const email = `m${random.integer(1, 1_000_000_000)}.${last.username}@example.com`;
    const step = { ...last, type: "user_updated", email };
    return { step, send: () => idAfter(access.update(id, { email })) };
  }
  if (choice <= 9) {
    const isActive = !last.isActive;
    const step = { ...last, type: isActive ? "user_activated" : "user_deactivated", isActive };
    return { step, send: () => idAfter(access.setActive(id, isActive)) };
  }
  return { step: { ...last, type: "user_deleted" }, send: () => idAfter(access.delete(id)) };
}
