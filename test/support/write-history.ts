import assert from "node:assert/strict";
import type { WholeLog } from "./event-archive.ts";
import type { PlainEvent, PlainUser } from "./log-access.ts";

/** A write that a test asks for. */
export type Write =
  | { readonly kind: "register"; readonly email: string; readonly username: string }
  | {
      readonly kind: "update";
      readonly id: string;
      readonly email?: string | undefined;
      readonly username?: string | undefined;
    }
  | { readonly kind: "set_active"; readonly id: string; readonly isActive: boolean }
  | { readonly kind: "delete"; readonly id: string };

/** What a caller was told: done, refused for a reason, that nothing was kept, or nothing that it can rely on. */
export type Told =
  | { readonly kind: "done"; readonly user: PlainUser | undefined }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "dropped" }
  | { readonly kind: "unknown" };

/** A write, what its caller was told, and when, on one clock that counts calls and answers. */
export interface RecordedWrite {
  readonly write: Write;
  readonly told: Told;
  readonly asked: number;
  readonly answered: number;
}

type State = ReadonlyMap<string, PlainUser>;

/**
 * Checks that calls which overlapped took effect one after the other, each between its question and its answer,
 * with the log as the order: each event is one call's doing, each success has its event or changed nothing, and
 * each refusal was right at some moment of its call.
 */
export function checkWriteHistory(log: WholeLog, calls: readonly RecordedWrite[]): void {
  const states = replayStates(log);
  const doers = log.map((event, index) =>
    calls.filter((call) => isDoing(states[index] ?? new Map(), event, call)),
  );
  const matched = matchEvents(doers, states, calls);
  const unmatched = log.filter((_, index) => !matched.has(index + 1));
  assert.deepEqual(unmatched, [], "events that are nobody's doing");
  const withEvent = new Set(matched.values());
  const positions = findCertainPositions(doers);
  for (const call of calls) {
    const position = positions.get(call);
    const [first, last] = findWindow(call, calls, positions, log.length);
    if (position !== undefined) {
      assert.ok(first < position && position <= last, `out of its time: ${JSON.stringify(call)}`);
    }
    if (isAnswer(call) && !withEvent.has(call)) {
      const couldBe = states.slice(first, last + 1).some((state) => isExplained(state, call));
      assert.ok(couldBe, `never right between revision ${first} and ${last}: ${JSON.stringify(call)}`);
    }
  }
}

/** Calls of which it is certain which event is theirs, and its revision. */
function findCertainPositions(doers: readonly (readonly RecordedWrite[])[]): Map<RecordedWrite, number> {
  const counts = new Map<RecordedWrite, number>();
  for (const call of doers.flat()) counts.set(call, (counts.get(call) ?? 0) + 1);
  return new Map(
    doers.flatMap(([call, ...others], index): [RecordedWrite, number][] =>
      call !== undefined && others.length === 0 && counts.get(call) === 1 ? [[call, index + 1]] : [],
    ),
  );
}

function isAnswer({ told }: RecordedWrite): boolean {
  return told.kind === "done" || told.kind === "refused";
}

/** The users before the first event and after each. */
function replayStates(log: WholeLog): State[] {
  const states: State[] = [new Map()];
  for (const { type, user } of log) {
    const next = new Map(states.at(-1));
    if (type === "user_deleted") next.delete(user.id);
    else next.set(user.id, user);
    states.push(next);
  }
  return states;
}

/** Revisions behind which, and up to which, the call took effect, as far as others' answers tell. */
function findWindow(
  call: RecordedWrite,
  calls: readonly RecordedWrite[],
  positions: ReadonlyMap<RecordedWrite, number>,
  end: number,
): [number, number] {
  let [first, last] = [0, end];
  for (const other of calls) {
    const position = positions.get(other);
    if (position === undefined || other === call) continue;
    if (other.answered < call.asked) first = Math.max(first, position);
    if (other.asked > call.answered) last = Math.min(last, position - 1);
  }
  return [first, last];
}

/** Whether the answer is what the call gets in this state without changing it. */
function isExplained(state: State, { write, told }: RecordedWrite): boolean {
  const outcome = decide(state, write);
  if (typeof outcome === "string") return told.kind === "refused" && told.reason === outcome;
  return write.kind !== "register" && told.kind === "done" && equal(outcome, state.get(write.id));
}

/** The rules, said as plainly as possible: the user that the write leaves, or why it is refused. */
function decide(state: State, write: Write): PlainUser | string {
  const isHeld = (column: "email" | "username", name: string, self?: string) =>
    [...state.values()].some((user) => user[column] === name && user.id !== self);
  if (write.kind === "register") {
    const { email, username } = write;
    if (isHeld("email", email)) return "EMAIL_TAKEN";
    if (isHeld("username", username)) return "USERNAME_TAKEN";
    return { id: "", email, username, isActive: true, createdAt: "" };
  }
  const user = state.get(write.id);
  if (user === undefined) return "USER_NOT_FOUND";
  if (write.kind === "set_active") return { ...user, isActive: write.isActive };
  if (write.kind === "delete") return { ...user, id: "deleted" };
  const { email = user.email, username = user.username } = write;
  if (!email.includes("@")) return "INVALID_INPUT";
  if (isHeld("email", email, user.id)) return "EMAIL_TAKEN";
  return isHeld("username", username, user.id) ? "USERNAME_TAKEN" : { ...user, email, username };
}

/** Whether an event can be a call's doing. */
function isDoing(state: State, { type, user }: PlainEvent, { write, told }: RecordedWrite): boolean {
  if (told.kind === "refused" || told.kind === "dropped") return false;
  if (told.kind === "done" && told.user !== undefined && !equal(told.user, user)) return false;
  const outcome = decide(state, write);
  if (typeof outcome === "string") return false;
  switch (write.kind) {
    case "register":
      return (
        type === "user_registered" && equal({ ...outcome, id: user.id, createdAt: user.createdAt }, user)
      );
    case "update":
      return type === "user_updated" && equal(outcome, user);
    case "set_active":
      return type === (write.isActive ? "user_activated" : "user_deactivated") && equal(outcome, user);
    case "delete":
      return type === "user_deleted" && write.id === user.id && equal(state.get(user.id), user);
  }
}

function equal(one: PlainUser | undefined, other: PlainUser | undefined): boolean {
  return (
    JSON.stringify(one, Object.keys(one ?? {}).sort()) ===
    JSON.stringify(other, Object.keys(other ?? {}).sort())
  );
}

/**
 * Gives each event a call, by augmenting paths (Kuhn): first a place for each call that must have one, then a call
 * for each event that is left. Events are numbered by revision.
 */
function matchEvents(
  doers: readonly (readonly RecordedWrite[])[],
  states: readonly State[],
  calls: readonly RecordedWrite[],
): Map<number, RecordedWrite> {
  const byEvent = new Map<number, RecordedWrite>();
  const byCall = new Map<RecordedWrite, number>();
  const edges = new Map(doers.map((candidates, index) => [index + 1, candidates]));
  const eventsOf = (call: RecordedWrite) =>
    [...edges].flatMap(([revision, candidates]) => (candidates.includes(call) ? [revision] : []));

  function placeCall(call: RecordedWrite, visited: Set<number>): boolean {
    for (const revision of eventsOf(call)) {
      if (visited.has(revision)) continue;
      visited.add(revision);
      const holder = byEvent.get(revision);
      if (holder === undefined || placeCall(holder, visited)) {
        byEvent.set(revision, call);
        byCall.set(call, revision);
        return true;
      }
    }
    return false;
  }
  function fillEvent(revision: number, visited: Set<RecordedWrite>): boolean {
    for (const call of edges.get(revision) ?? []) {
      if (visited.has(call)) continue;
      visited.add(call);
      const held = byCall.get(call);
      if (held === undefined || fillEvent(held, visited)) {
        byEvent.set(revision, call);
        byCall.set(call, revision);
        return true;
      }
    }
    return false;
  }
  for (const call of calls) {
    const { told } = call;
    const mustHaveOne = told.kind === "done" && !states.some((state) => isExplained(state, call));
    if (mustHaveOne) placeCall(call, new Set());
  }
  for (const revision of edges.keys()) {
    if (!byEvent.has(revision)) fillEvent(revision, new Set());
  }
  return byEvent;
}
