import assert from "node:assert/strict";
import { stepOf } from "./crash-writer.ts";
import { replay, type WholeLog } from "./event-archive.ts";
import type { FaultRecord } from "./fault-record.ts";
import type { PlainUser } from "./log-access.ts";

/**
 * Checks that what the database holds is what the clients were told: every acknowledged write, in its order and once;
 * none that was refused; one whose outcome is unknown at most once, and nothing else. The users are what the events add
 * up to.
 *
 * @param strangers emails of users that others have made
 */
export function checkRecord(
  record: FaultRecord,
  log: WholeLog,
  users: readonly PlainUser[],
  strangers: ReadonlySet<string>,
): void {
  assert.deepEqual(record.unexpected, [], "what the clients should never have seen");
  assert.deepEqual(replay(log), users, "the events do not add up to the users");
  const own = log.filter(({ user }) => !strangers.has(user.email));
  const byName = Map.groupBy(own, ({ user }) => user.username);
  for (const name of record.refusedUsernames) {
    assert.equal(byName.get(name), undefined, `${name} was refused and is there`);
  }
  for (const { username, steps, unknown } of record.ledgers) {
    const found = (byName.get(username) ?? []).map(stepOf);
    const withUnknown = unknown === undefined ? steps : [...steps, unknown];
    const expected = found.length > steps.length ? withUnknown : steps;
    assert.deepEqual(found, expected, `the events of ${username} are not its writes`);
  }
  const known = new Set(record.ledgers.map(({ username }) => username));
  const unknown = [...byName.keys()].filter((name) => !known.has(name));
  assert.deepEqual(unknown, [], "events that are nobody's doing");
}
