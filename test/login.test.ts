import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { inspect } from "node:util";
import { sql } from "kysely";
import { BadLoginError, LoginSlowedError } from "../src/auth/login.errors.ts";
import { createLoginService } from "../src/auth/login.service.ts";
import { defaultLoginRules } from "../src/auth/login-rules.ts";
import { createLoginThrottle } from "../src/auth/login-throttle.ts";
import { PasswordsBusyError } from "../src/auth/password.errors.ts";
import { createPasswordHasher, type PasswordHasher } from "../src/auth/password-hasher.ts";
import type { Account } from "../src/users/account.ts";
import { backends } from "./support/databases.ts";
import { openLog, testLogger } from "./support/event-system.ts";
import { type SharedDatabase, useDatabase } from "./support/shared-database.ts";

const cheap = { memoryKib: 8, iterations: 1, parallelism: 1, maxConcurrency: 2 };
const email = "ada@example.com";
const password = "correct horse";
const home = { address: "192.0.2.1" };

/** What a test may put in a part's place. */
interface Parts {
  readonly hasher?: PasswordHasher;
  readonly replacePasswordHash?: () => Promise<void>;
}

async function openSystem(t: TestContext, shared: SharedDatabase) {
  const { database } = await shared.renew();
  await sql`truncate login_attempts, login_addresses`.execute(database);
  const { accounts, users } = await openLog(t, database);
  const hasher = createPasswordHasher(cheap);
  const clock = { ms: Date.UTC(2030, 0, 1) };
  const throttle = createLoginThrottle({ database, now: () => new Date(clock.ms) });
  const issued: Account[] = [];

  function openLogins({ hasher: itsHasher = hasher, replacePasswordHash }: Parts = {}) {
    return createLoginService({
      accounts: {
        findLogin: accounts.findLogin,
        replacePasswordHash: replacePasswordHash ?? accounts.replacePasswordHash,
      },
      hasher: itsHasher,
      throttle,
      issue: async (account) => {
        issued.push(account);
        return {
          accessToken: account.id,
          refreshToken: "refresh",
          userId: account.id,
          expiresInSeconds: 60,
        };
      },
      logger: testLogger,
    });
  }
  const create = async (address = email, isActive = true) =>
    accounts.create({
      email: address,
      fullName: "",
      isActive,
      isSuperuser: false,
      passwordHash: await hasher.hash(password),
    });
  return { accounts, users, hasher, clock, throttle, issued, openLogins, create };
}

/** The hasher, and how often it has compared. */
function countComparisons(hasher: PasswordHasher) {
  let comparisons = 0;
  const counting: PasswordHasher = {
    ...hasher,
    verify(...given) {
      comparisons += 1;
      return hasher.verify(...given);
    },
  };
  return { counting, comparisons: () => comparisons };
}

async function failureOf(login: Promise<unknown>): Promise<Error> {
  const failure = await login.then(
    () => assert.fail("the login succeeded"),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error);
  return failure;
}

for (const backend of backends) {
  describe(`a login on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("gives tokens of the account, whatever the email's case", async (t) => {
      const { openLogins, create, issued } = await openSystem(t, shared);
      const account = await create();
      const tokens = await openLogins().authenticate({ email: "Ada@Example.COM", password }, home);
      assert.deepEqual(tokens, {
        accessToken: account.id,
        refreshToken: "refresh",
        userId: account.id,
        expiresInSeconds: 60,
      });
      assert.deepEqual(issued, [account]);
    });

    test("fails in one and the same way after one comparison, whatever is wrong", async (t) => {
      const { openLogins, create, users, hasher, issued } = await openSystem(t, shared);
      await create();
      await create("inactive@example.com", false);
      await users.register({ email: "bare@example.com", username: "bare" });
      const { counting, comparisons } = countComparisons(hasher);
      const logins = openLogins({ hasher: counting });
      const failures: Error[] = [];
      for (const [index, login] of [
        { email, password: "wrong horse" },
        { email: "unknown@example.com", password },
        { email: "inactive@example.com", password },
        { email: "bare@example.com", password },
        { email: "no address", password },
        { email: "nul\0@example.com", password },
      ].entries()) {
        failures.push(await failureOf(logins.authenticate(login, { address: `192.0.2.${index}` })));
        assert.equal(comparisons(), index + 1, login.email);
      }
      for (const failure of failures) {
        assert.ok(failure instanceof BadLoginError, String(failure));
        assert.ok(!inspect(failure).includes("horse"));
        assert.deepEqual(
          { ...failure, message: failure.message },
          { ...failures[0], message: failures[0]?.message },
        );
      }
      assert.deepEqual(issued, []);
    });

    test("is slowed after five failures alike, whether the account exists, and not looked at meanwhile", async (t) => {
      const { openLogins, create, hasher, clock } = await openSystem(t, shared);
      await create();
      const { counting, comparisons } = countComparisons(hasher);
      const logins = openLogins({ hasher: counting });
      const waits: unknown[] = [];
      for (const name of [email, "unknown@example.com"]) {
        const before = comparisons();
        for (let n = 0; n < 5; n++) {
          const wrong = logins.authenticate({ email: name, password: "wrong horse" }, home);
          assert.ok((await failureOf(wrong)) instanceof BadLoginError);
        }
        const slowed = await failureOf(logins.authenticate({ email: name, password }, home));
        assert.ok(slowed instanceof LoginSlowedError);
        waits.push({ ...slowed, message: slowed.message });
        assert.equal(comparisons(), before + 5);
      }
      assert.deepEqual(waits[0], waits[1]);
      clock.ms += 1_000;
      await logins.authenticate({ email, password }, home);
      // And what had failed is forgotten.
      for (let n = 0; n < 4; n++) {
        await failureOf(logins.authenticate({ email, password: "wrong horse" }, home));
      }
      await logins.authenticate({ email, password }, home);
    });

    test("of a thousand guesses at once, lets five be looked at", async (t) => {
      const { openLogins, create, hasher } = await openSystem(t, shared);
      await create();
      const { counting, comparisons } = countComparisons(hasher);
      const logins = openLogins({ hasher: counting });
      await Promise.all(
        Array.from({ length: 1_000 }, (_, n) =>
          failureOf(logins.authenticate({ email, password: `guess number ${n}` }, home)),
        ),
      );
      assert.equal(comparisons(), defaultLoginRules.accountAtAddress.free);
    });

    test("that finds too many others waiting does not count as failed", async (t) => {
      const { openLogins, create, hasher } = await openSystem(t, shared);
      await create();
      const crowded: PasswordHasher = {
        ...hasher,
        // Somebody else is there first.
        verify: (...given) => {
          const busy = createPasswordHasher({ ...cheap, maxConcurrency: 1, maxWaiting: 0 });
          void busy.verify(undefined, password);
          return busy.verify(...given);
        },
      };
      for (let n = 0; n < 8; n++) {
        const failure = await failureOf(
          openLogins({ hasher: crowded }).authenticate({ email, password }, home),
        );
        assert.ok(failure instanceof PasswordsBusyError, String(failure));
      }
      await openLogins().authenticate({ email, password }, home);
    });

    test("of a caller who has left before its turn is neither looked at nor counted", async (t) => {
      const { openLogins, create, hasher } = await openSystem(t, shared);
      await create();
      for (let n = 0; n < 10; n++) {
        const leaving = new AbortController();
        const abandoned: PasswordHasher = {
          ...hasher,
          verify: (...given) => {
            leaving.abort(new Error("gone"));
            return hasher.verify(...given);
          },
        };
        const login = openLogins({ hasher: abandoned }).authenticate(
          { email, password: "wrong horse" },
          home,
          leaving.signal,
        );
        assert.match((await failureOf(login)).message, /gone/);
      }
      await openLogins().authenticate({ email, password }, home);
    });

    test("of a caller who leaves while its password is compared counts as any other", async (t) => {
      const { openLogins, create, hasher } = await openSystem(t, shared);
      await create();
      for (let n = 0; n < 5; n++) {
        const leaving = new AbortController();
        const abandoned: PasswordHasher = {
          ...hasher,
          async verify(...given) {
            const check = await hasher.verify(...given);
            leaving.abort(new Error("gone"));
            return check;
          },
        };
        const login = openLogins({ hasher: abandoned }).authenticate(
          { email, password: "wrong horse" },
          home,
          leaving.signal,
        );
        assert.ok((await failureOf(login)) instanceof BadLoginError);
      }
      const slowed = await failureOf(openLogins().authenticate({ email, password }, home));
      assert.ok(slowed instanceof LoginSlowedError);
    });

    test("makes a weak hash strong, once, without an event or a new epoch", async (t) => {
      const { openLogins, create, accounts } = await openSystem(t, shared);
      const account = await create();
      const weak = (await accounts.findLogin(email))?.passwordHash;
      const { counting } = countComparisons(createPasswordHasher({ ...cheap, memoryKib: 16 }));
      const logins = openLogins({ hasher: counting });
      await failureOf(logins.authenticate({ email, password: "wrong horse" }, home));
      assert.equal((await accounts.findLogin(email))?.passwordHash, weak);
      await logins.authenticate({ email, password }, home);
      const strong = (await accounts.findLogin(email))?.passwordHash;
      assert.match(strong ?? "", /^\$argon2id\$v=19\$m=16,/);
      await logins.authenticate({ email, password }, home);
      assert.equal((await accounts.findLogin(email))?.passwordHash, strong);
      assert.deepEqual(await accounts.get(account.id), account);
    });

    test("is good where the stronger hash cannot be written", async (t) => {
      const { openLogins, create, issued } = await openSystem(t, shared);
      await create();
      const logins = openLogins({
        hasher: createPasswordHasher({ ...cheap, memoryKib: 16 }),
        replacePasswordHash: () => Promise.reject(new Error("no connection")),
      });
      await logins.authenticate({ email, password }, home);
      assert.equal(issued.length, 1);
    });

    test("whose password is changed meanwhile gives tokens of the epoch that is over", async (t) => {
      const { openLogins, create, accounts, hasher, issued } = await openSystem(t, shared);
      const account = await create();
      const overtaken: PasswordHasher = {
        ...hasher,
        async verify(...given) {
          const found = await hasher.verify(...given);
          await accounts.update(account.id, { passwordHash: await hasher.hash("another horse") });
          return found;
        },
      };
      await openLogins({ hasher: overtaken }).authenticate({ email, password }, home);
      assert.equal(issued[0]?.tokenEpoch, account.tokenEpoch);
      assert.ok((await accounts.get(account.id)).tokenEpoch > account.tokenEpoch);
    });
  });
}
