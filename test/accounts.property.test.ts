import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readEventsAfter } from "../src/events/event.repository.ts";
import { everyEvent, type LoggedEvent } from "../src/events/event.ts";
import type { Database } from "../src/schema.ts";
import type { AccountService } from "../src/users/account.service.ts";
import type { Account, AccountChange } from "../src/users/account.ts";
import { EmailTakenError, UserNotFoundError } from "../src/users/user.errors.ts";
import { backends } from "./support/databases.ts";
import { openLog } from "./support/event-system.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

type Step =
  | { readonly kind: "create"; readonly email: string; readonly isActive: boolean }
  | { readonly kind: "update"; readonly who: number; readonly change: AccountChange }
  | { readonly kind: "delete"; readonly who: number };

const emails = fc.constantFrom("a@example.com", "b@example.com", "c@example.com");
const changes: fc.Arbitrary<AccountChange> = fc.record(
  {
    email: emails,
    username: fc.constantFrom("ada", "bob"),
    fullName: fc.constantFrom("", "Ada", "Ада", "愛"),
    isActive: fc.boolean(),
    isSuperuser: fc.boolean(),
    passwordHash: fc.constantFrom("hash one", "hash two"),
  },
  { requiredKeys: [] },
);
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("create"), email: emails, isActive: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("update"), who: fc.nat(2), change: changes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete"), who: fc.nat(2) }) },
) as fc.Arbitrary<Step>;

/** What an account should be, as plainly as it can be said. */
class Model {
  readonly accounts: Account[] = [];
  readonly hashes = new Map<string, string>();
  readonly events: string[] = [];

  /** What a change should make of an account; undefined where a name is somebody else's. */
  change(account: Account, { passwordHash, ...given }: AccountChange): Account | undefined {
    const next = { ...account, ...given } as Account;
    const others = this.accounts.filter(({ id }) => id !== account.id);
    const taken = others.some(
      (other) => other.email === next.email || (next.username !== "" && other.username === next.username),
    );
    if (taken) return undefined;
    const endsTokens = passwordHash !== undefined || (account.isActive && !next.isActive);
    return { ...next, tokenEpoch: account.tokenEpoch + (endsTokens ? 1 : 0) };
  }
}

const withoutTimes = ({ updatedAt: _, ...account }: Account) => account;

async function take(step: Step, accounts: AccountService, model: Model): Promise<void> {
  if (step.kind === "create") {
    const input = { ...step, fullName: "New", isSuperuser: false, passwordHash: "first hash" };
    if (model.accounts.some(({ email }) => email === step.email)) {
      await assert.rejects(accounts.create(input), EmailTakenError);
      return;
    }
    const account = await accounts.create(input);
    model.accounts.push(account);
    model.hashes.set(account.id, "first hash");
    model.events.push(`user_registered ${account.id}`);
    return;
  }
  const account = model.accounts[step.who];
  if (account === undefined) return;
  if (step.kind === "delete") {
    await accounts.delete(account.id);
    await assert.rejects(accounts.get(account.id), UserNotFoundError);
    model.accounts.splice(step.who, 1);
    model.events.push(`user_deleted ${account.id}`);
    return;
  }
  const expected = model.change(account, step.change);
  if (expected === undefined) {
    await assert.rejects(accounts.update(account.id, step.change), { kind: "already_exists" });
    return;
  }
  const updated = await accounts.update(account.id, step.change);
  assert.deepEqual(withoutTimes(updated), withoutTimes(expected));
  if (JSON.stringify(withoutTimes(expected)) !== JSON.stringify(withoutTimes(account))) {
    assert.ok(updated.updatedAt >= account.updatedAt);
    const activity = expected.isActive ? "user_activated" : "user_deactivated";
    model.events.push(`${expected.isActive === account.isActive ? "user_updated" : activity} ${account.id}`);
  }
  model.accounts[step.who] = updated;
  if (step.change.passwordHash !== undefined) model.hashes.set(account.id, step.change.passwordHash);
}

async function readLog(database: Database): Promise<readonly LoggedEvent[]> {
  return (await readEventsAfter(database, 0n, everyEvent, 10_000)).events;
}

for (const backend of backends) {
  describe(`accounts on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("do what a plain model does, each change with its one event", async (t) => {
      const { database } = await shared.renew();
      const { accounts } = await openLog(t, database);
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { maxLength: 25 }), async (history) => {
          await shared.renew();
          const model = new Model();
          for (const step of history) await take(step, accounts, model);
          for (const account of model.accounts) {
            assert.deepEqual(await accounts.get(account.id), account);
            assert.deepEqual(await accounts.getByEmail(account.email.toUpperCase()), account);
            const subject = await accounts.findLogin(account.email.toUpperCase());
            assert.deepEqual(subject, { account, passwordHash: model.hashes.get(account.id) });
          }
          const log = await readLog(database);
          assert.deepEqual(
            log.map(({ type, user }) => `${type} ${user.id}`),
            model.events,
          );
        }),
        { numRuns: 25 * scale },
      );
    });

    test("that are made with one email at the same time are one account and one event", async (t) => {
      const { database } = await shared.renew();
      const processes = [await openLog(t, database), await openLog(t, database)];
      const input = { email: "race@example.com", fullName: "", isActive: true, isSuperuser: false };
      const outcomes = await Promise.allSettled(
        Array.from({ length: 10 }, (_, index) =>
          processes[index % 2]?.accounts.create({ ...input, passwordHash: `hash ${index}` }),
        ),
      );
      const made = outcomes.flatMap((outcome, index) => (outcome.status === "fulfilled" ? [index] : []));
      assert.equal(made.length, 1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") assert.ok(outcome.reason instanceof EmailTakenError);
      }
      assert.equal((await processes[0]?.accounts.findLogin(input.email))?.passwordHash, `hash ${made[0]}`);
      assert.equal((await readLog(database)).length, 1);
    });

    test("lose no field to changes that come together, from whichever view", async (t) => {
      const { database } = await shared.renew();
      const one = await openLog(t, database);
      const other = await openLog(t, database);
      const input = { fullName: "", isActive: true, isSuperuser: false, passwordHash: "hash" };
      const { id } = await one.accounts.create({ ...input, email: "many@example.com" });
      await one.accounts.create({ ...input, email: "nameless@example.com" });
      await Promise.all([
        one.accounts.update(id, { fullName: "Many" }),
        other.accounts.update(id, { isSuperuser: true }),
        one.users.update(id, { username: "many" }),
        other.users.setActive(id, false),
        other.accounts.update(id, { passwordHash: "new hash" }),
      ]);
      const account = await one.accounts.get(id);
      assert.deepEqual(
        [account.fullName, account.isSuperuser, account.username, account.isActive, account.tokenEpoch],
        ["Many", true, "many", false, 2],
      );
      const log = await readLog(database);
      assert.equal(log.length, 7);
      assert.equal(log.filter(({ type }) => type === "user_deactivated").length, 1);
    });

    test("keep a password that was changed while a stronger hash of the old one was made", async (t) => {
      const { database } = await shared.renew();
      const { accounts } = await openLog(t, database);
      const input = { email: "hash@example.com", fullName: "", isActive: true, isSuperuser: false };
      const { id, tokenEpoch } = await accounts.create({ ...input, passwordHash: "weak" });
      await accounts.replacePasswordHash(id, "weak", "strong");
      const subject = await accounts.findLogin(input.email);
      assert.deepEqual([subject?.passwordHash, subject?.account.tokenEpoch], ["strong", tokenEpoch]);
      await accounts.update(id, { passwordHash: "another" });
      await accounts.replacePasswordHash(id, "strong", "stronger");
      assert.equal((await accounts.findLogin(input.email))?.passwordHash, "another");
      assert.equal((await readLog(database)).length, 2);
    });

    test("are nobody's by a text that is no id or that no database can store", async (t) => {
      const { database } = await shared.renew();
      const { accounts } = await openLog(t, database);
      for (const text of ["", "7", "a\0b", "\ud800"]) {
        await assert.rejects(accounts.get(text), UserNotFoundError);
        await assert.rejects(accounts.getByEmail(text), UserNotFoundError);
        await assert.rejects(accounts.update(text, {}), UserNotFoundError);
        await assert.rejects(accounts.delete(text), UserNotFoundError);
        assert.equal(await accounts.exists(text), false);
        assert.equal(await accounts.findLogin(text), undefined);
      }
    });
  });
}
