import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { UserService } from "../../gen/users/v1/users_pb.ts";
import type { Step } from "./crash-writer.ts";
import type { FaultRecord, UserLedger } from "./fault-record.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** How a writer calls. */
export interface WriterOptions {
  readonly name: string;
  readonly client: Client<typeof UserService>;
  readonly callTimeoutMs: number;
  /** When it aborts, the write at hand is the last; one with a key is still seen through. */
  readonly signal: AbortSignal;
}

interface CallOptions {
  readonly timeoutMs: number;
  readonly headers: Record<string, string>;
}

interface Planned {
  readonly ledger: UserLedger;
  readonly step: Step;
  readonly send: (options: CallOptions) => Promise<{ readonly id?: string }>;
}

/** What a caller was told: done, refused so that it has certainly not happened, or nothing that it can rely on. */
type Told = { readonly kind: "done"; readonly id: string } | { readonly kind: "refused" | "unknown" };

/** Between two tries of one call: a server that is away answers at once, and would be asked in a tight loop. */
const retryPauseMs = 25;

/**
 * Registers, changes, deletes and looks up users of its own, one call after the other, whatever happens to the server.
 * Half of the writes have an idempotency key and are repeated until their outcome is known; after any other whose outcome
 * is unknown, the user is never touched again.
 */
export async function runFaultWriter(
  random: SeededRandom,
  options: WriterOptions,
  record: FaultRecord,
): Promise<void> {
  const { name, client, signal } = options;
  const users: UserLedger[] = [];
  let registrations = 0;

  function planRegistration(): Planned {
    registrations += 1;
    const username = `${name}n${registrations}`;
    const email = `${username}@example.com`;
    const ledger: UserLedger = { username, id: "", steps: [], unknown: undefined };
    record.ledgers.push(ledger);
    const step = { username, type: "user_registered", email, isActive: true };
    return { ledger, step, send: (how) => client.registerUser({ email, username }, how) };
  }

  function planChange(ledger: UserLedger, last: Step): Planned {
    const { id } = ledger;
    switch (random.integer(1, 5)) {
      case 1:
      case 2: {
        const email = `m${random.integer(1, 1_000_000_000)}.${last.username}@example.com`;
        const request = { user: { id, email }, updateMask: { paths: ["email"] } };
        const step = { ...last, type: "user_updated", email };
        return { ledger, step, send: (how) => client.updateUser(request, how).then(() => ({ id })) };
      }
      case 3:
        return {
          ledger,
          step: { ...last, type: "user_deleted" },
          send: (how) => client.deleteUser({ id }, how).then(() => ({ id })),
        };
      default: {
        const isActive = !last.isActive;
        const step = { ...last, type: isActive ? "user_activated" : "user_deactivated", isActive };
        const call: (how: CallOptions) => Promise<unknown> = isActive
          ? (how) => client.activateUser({ id }, how)
          : (how) => client.deactivateUser({ id }, how);
        return { ledger, step, send: (how) => call(how).then(() => ({ id })) };
      }
    }
  }

  async function tellOnce({ step, send }: Planned, how: CallOptions): Promise<Told> {
    try {
      const { id = "" } = await send(how);
      return { kind: "done", id };
    } catch (error) {
      return { kind: record.noteFailure(error, step.type) };
    }
  }

  /** A write that has a key is repeated with it until it is known what has become of it. */
  async function tell(planned: Planned): Promise<Told> {
    const isKeyed = random.oneIn(2);
    const how = {
      timeoutMs: options.callTimeoutMs,
      headers: isKeyed ? { "idempotency-key": randomUUID() } : ({} as Record<string, string>),
    };
    for (let tries = 1; ; tries++) {
      const told = await tellOnce(planned, how);
      // A refusal says nothing of an earlier try of which nothing is known.
      if (told.kind === "done" || !isKeyed || (told.kind === "refused" && tries === 1)) return told;
      if (record.isGivenUp) return { kind: "unknown" };
      await delay(retryPauseMs);
    }
  }

  async function write(planned: Planned): Promise<void> {
    const { ledger, step } = planned;
    const told = await tell(planned);
    if (told.kind === "done") {
      ledger.steps.push(step);
      ledger.id = told.id;
      record.acknowledged.pass();
      if (step.type === "user_deleted") users.splice(users.indexOf(ledger), 1);
      else if (step.type === "user_registered") users.push(ledger);
      return;
    }
    if (told.kind === "unknown") {
      ledger.unknown = step;
      if (users.includes(ledger)) users.splice(users.indexOf(ledger), 1);
    }
    await delay(retryPauseMs);
  }

  /** Nobody else changes this user, so that a look-up gives what the last acknowledged write has left. */
  async function lookUp({ id }: UserLedger, last: Step): Promise<void> {
    try {
      const { user } = await client.getUser({ id }, { timeoutMs: options.callTimeoutMs });
      if (user?.email !== last.email || user.isActive !== last.isActive) {
        record.unexpected.push(
          `a look-up gave ${user?.email}, ${user?.isActive} behind ${JSON.stringify(last)}`,
        );
      }
      record.lookedUp += 1;
    } catch (error) {
      record.noteFailure(error, "get");
    }
  }

  /** Somebody else's email: a refusal on which the caller can rely. */
  async function collide({ email }: Step): Promise<void> {
    const username = `${name}x${registrations++}`;
    try {
      await client.registerUser({ email, username }, { timeoutMs: options.callTimeoutMs });
      record.unexpected.push(`${email} was registered twice`);
    } catch (error) {
      const info = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0] : undefined;
      if (
        error instanceof ConnectError &&
        error.code === Code.AlreadyExists &&
        info?.reason === "EMAIL_TAKEN"
      ) {
        record.refusedUsernames.push(username);
      } else {
        record.noteFailure(error, "collision");
      }
    }
  }

  while (!signal.aborted) {
    const known = random.pickAny(users);
    const last = known?.steps.at(-1);
    const choice = random.integer(1, 12);
    if (known === undefined || last === undefined || choice <= 4) await write(planRegistration());
    else if (choice === 5) await collide(last);
    else if (choice <= 7) await lookUp(known, last);
    else await write(planChange(known, last));
  }
}
