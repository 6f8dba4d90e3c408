import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { KyselyPlugin } from "kysely";
import { createAccessTokens } from "../src/auth/access-token.ts";
import { createAccountWatch } from "../src/auth/account-watch.ts";
import { createTokenHolderLookup } from "../src/auth/token-holder.ts";
import { createTokenValidator, type ValidateToken } from "../src/auth/token-validator.ts";
import { type EventTailer, openEventTailer } from "../src/events/event-tailer.ts";
import { DatabaseUnavailableError } from "../src/platform/errors.ts";
import type { AccountService } from "../src/users/account.service.ts";
import type { Account } from "../src/users/account.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { readHead } from "./support/event-archive.ts";
import { testLogger } from "./support/event-system.ts";
import { withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";
import {
  createTestAccount,
  openTokenSystem,
  type TokenSystem,
  tokenSettings,
} from "./support/token-system.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

/** What ends an account's tokens. */
const endings: readonly {
  readonly name: string;
  readonly end: (system: TokenSystem, account: Account) => Promise<unknown>;
}[] = [
  { name: "a deactivation", end: ({ users }, { id }) => users.setActive(id, false) },
  {
    name: "a deactivation as an account",
    end: ({ accounts }, { id }) => accounts.update(id, { isActive: false }),
  },
  {
    name: "a new password",
    end: ({ accounts }, { id }) =>
      accounts.update(id, { passwordHash: "$argon2id$v=19$m=8,t=1,p=1$bmV3$hash" }),
  },
  { name: "a deletion", end: ({ users }, { id }) => users.delete(id) },
];

/** Validates until the answer comes from memory. */
async function warm(validate: ValidateToken, token: string): Promise<void> {
  for (;;) {
    const answer = validate(token);
    if (!(answer instanceof Promise)) {
      assert.ok(answer.isValid);
      return;
    }
    assert.ok((await answer).isValid);
    await setImmediate();
  }
}

/** Validates until the token is bad, and makes sure that it stays so. */
async function waitUntilInvalid(validate: ValidateToken, token: string): Promise<void> {
  while ((await validate(token)).isValid) await setImmediate();
  for (let round = 0; round < 20; round++) {
    assert.deepEqual(await validate(token), { isValid: false });
    await setImmediate();
  }
}

/** What stands between a process and its database. */
interface Gate {
  readonly plugin: KyselyPlugin;
  open(): void;
  /** Statements fail, or do not come back until the gate is opened. */
  shut(how: "failing" | "frozen"): void;
}

function createGate(): Gate {
  let failing = false;
  let opened = Promise.resolve();
  let open = (): void => {};
  return {
    plugin: {
      transformQuery({ node }) {
        if (failing) throw new DatabaseUnavailableError();
        return node;
      },
      async transformResult({ result }) {
        await opened;
        return result;
      },
    },
    open() {
      failing = false;
      open();
    },
    shut(how) {
      failing = how === "failing";
      if (how === "frozen") {
        const waiting = Promise.withResolvers<void>();
        opened = waiting.promise;
        open = waiting.resolve;
      }
    },
  };
}

for (const backend of backends) {
  describe(`revocation on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    /** A validator of its own, on a log and accounts as the test has prepared them. */
    function createValidator(
      t: TestContext,
      system: TokenSystem,
      parts: { tailer?: EventTailer; accounts?: Pick<AccountService, "get">; idleMs?: number },
    ): ValidateToken {
      const { tailer = system.tailer, accounts = system.accounts, idleMs = 60_000 } = parts;
      const watch = createAccountWatch({ tailer, accounts, idleMs, logger: testLogger });
      cleanUpAfter(t, watch.close);
      const { keys } = system;
      const accessTokens = createAccessTokens(keys, tokenSettings);
      return createTokenValidator(
        createTokenHolderLookup({ accessTokens, accounts: watch, keys, now: Date.now }),
      );
    }

    for (const { name, end } of endings) {
      test(`${name} ends the account's tokens on every replica, and nobody else's`, async (t) => {
        const ready = await shared.renew();
        const replicas = [await openTokenSystem(t, ready), await openTokenSystem(t, ready)];
        const [system] = replicas;
        assert.ok(system);
        const account = await createTestAccount(system.accounts);
        const other = await system.tokens.issue(await createTestAccount(system.accounts));
        const { accessToken } = await system.tokens.issue(account);
        for (const { tokens } of replicas) {
          await warm(tokens.validate, accessToken);
          await warm(tokens.validate, other.accessToken);
        }
        await end(system, account);
        for (const { tokens } of replicas) await waitUntilInvalid(tokens.validate, accessToken);
        for (const { tokens } of replicas) assert.ok((await tokens.validate(other.accessToken)).isValid);
      });
    }

    test("a token stays bad once its account is active again", async (t) => {
      const system = await openTokenSystem(t, await shared.renew());
      const account = await createTestAccount(system.accounts);
      const { accessToken } = await system.tokens.issue(account);
      await warm(system.tokens.validate, accessToken);
      await system.users.setActive(account.id, false);
      await system.users.setActive(account.id, true);
      await waitUntilInvalid(system.tokens.validate, accessToken);
      const { accessToken: fresh } = await system.tokens.issue(await system.accounts.get(account.id));
      assert.ok((await system.tokens.validate(fresh)).isValid);
    });

    test("an answer is never older than what its process had read of the log when it was asked", async (t) => {
      const ready = await shared.renew();
      const replicas = [await openTokenSystem(t, ready), await openTokenSystem(t, ready)] as const;
      const [writer] = replicas;
      await withSeed(async (random) => {
        for (let round = 0; round < 3 * scale; round++) {
          const account = await createTestAccount(writer.accounts);
          const { accessToken } = await writer.tokens.issue(account);
          /** What a validation may say from a revision on. */
          const versions: { revision: bigint; says: string }[] = [{ revision: 0n, says: "user" }];
          let begun = 1;
          let ended = false;

          async function change(): Promise<void> {
            const planned = Array.from({ length: 6 }, (_, step) => (step % 2 === 0 ? "superuser" : "user"));
            for (const says of [...planned, "nobody"]) {
              versions.push({ revision: 2n ** 63n, says });
              begun = versions.length;
              await (says === "nobody"
                ? random.pick([...endings] as [(typeof endings)[number]]).end(writer, account)
                : writer.accounts.update(account.id, { isSuperuser: says === "superuser" }));
              const { revision } = await readHead(writer.database);
              Object.assign(versions.at(-1) ?? {}, { revision });
              for (let pause = random.integer(0, 5); pause > 0; pause--) await setImmediate();
            }
            ended = true;
          }

          async function check({ tokens, tailer }: TokenSystem): Promise<void> {
            for (let rest = 50; rest > 0; ) {
              if (ended) rest -= 1;
              // The read of the log is handed on in a microtask of its own.
              const seen = tailer.ring.head;
              await setImmediate();
              const oldest = versions.findLastIndex(({ revision }) => revision <= seen);
              const answer = await tokens.validate(accessToken);
              const said = answer.isValid ? (answer.isSuperuser ? "superuser" : "user") : "nobody";
              const possible = versions.slice(oldest, begun).map(({ says }) => says);
              assert.ok(possible.includes(said), `${said} where only ${possible.join(", ")} could be`);
            }
          }

          await Promise.all([change(), ...replicas.flatMap((system) => [check(system), check(system)])]);
          for (const { tokens } of replicas) await waitUntilInvalid(tokens.validate, accessToken);
        }
      });
    });

    test("what was read before a change and arrives after it is neither kept nor believed", async (t) => {
      const system = await openTokenSystem(t, await shared.renew());
      const account = await createTestAccount(system.accounts);
      const { accessToken } = await system.tokens.issue(account);
      let arrived = Promise.resolve();
      let loads = 0;
      const validate = createValidator(t, system, {
        accounts: {
          async get(id) {
            const found = await system.accounts.get(id);
            loads += 1;
            await arrived;
            return found;
          },
        },
      });
      // Another account's, so that the log is followed while this one is not known yet.
      const other = await system.tokens.issue(await createTestAccount(system.accounts));
      await warm(validate, other.accessToken);

      const gate = Promise.withResolvers<void>();
      arrived = gate.promise;
      loads = 0;
      const answer = validate(accessToken);
      while (loads === 0) await setImmediate();
      await system.users.setActive(account.id, false);
      const { revision } = await readHead(system.database);
      while (system.tailer.ring.head < revision) await setImmediate();
      await setImmediate();
      gate.resolve();
      assert.deepEqual(await answer, { isValid: false });
      assert.deepEqual(await validate(accessToken), { isValid: false });
    });

    for (const how of ["failing", "frozen"] as const) {
      test(`where reads of the log are ${how}, the database is asked, and its failure is the answer`, async (t) => {
        const system = await openTokenSystem(t, await shared.renew());
        const logGate = createGate();
        const tailer = await openEventTailer(system.database.withPlugin(logGate.plugin), testLogger);
        cleanUpAfter(t, tailer.close);
        cleanUpAfter(t, logGate.open);
        let isDatabaseAway = false;
        const validate = createValidator(t, system, {
          tailer,
          accounts: {
            get: async (id) => {
              if (isDatabaseAway) throw new DatabaseUnavailableError();
              return system.accounts.get(id);
            },
          },
        });
        const account = await createTestAccount(system.accounts);
        const bystander = await system.tokens.issue(await createTestAccount(system.accounts));
        const { accessToken } = await system.tokens.issue(account);
        await warm(validate, accessToken);
        await warm(validate, bystander.accessToken);

        logGate.shut(how);
        await system.users.setActive(account.id, false);
        await waitUntilInvalid(validate, accessToken);
        // By now nothing in memory is trusted, good or bad.
        isDatabaseAway = true;
        await assert.rejects(async () => validate(bystander.accessToken), DatabaseUnavailableError);
        await assert.rejects(async () => validate(accessToken), DatabaseUnavailableError);

        isDatabaseAway = false;
        logGate.open();
        await warm(validate, bystander.accessToken);
        assert.deepEqual(await validate(accessToken), { isValid: false });
      });
    }

    test("a log that is replaced by another one takes what was kept along", async (t) => {
      const system = await openTokenSystem(t, await shared.renew());
      const account = await createTestAccount(system.accounts);
      const { accessToken } = await system.tokens.issue(account);
      await warm(system.tokens.validate, accessToken);
      // As a restored backup would do it: without an event.
      await system.database
        .updateTable("users")
        .set({ token_epoch: 9 })
        .where("id", "=", account.id)
        .execute();
      await system.database.updateTable("stream_head").set({ revision: 0n, floor: 0n }).execute();
      await system.database.deleteFrom("user_events").execute();
      await waitUntilInvalid(system.tokens.validate, accessToken);
    });

    test("nobody follows the log when nobody has asked for a while", async (t) => {
      const system = await openTokenSystem(t, await shared.renew());
      const { accessToken } = await system.tokens.issue(await createTestAccount(system.accounts));
      const validate = createValidator(t, system, { idleMs: 300 });
      const isFollowed = () => system.tailer.grown.subscribers > 0;
      assert.ok(!isFollowed());
      // The second time, it is begun anew.
      for (let round = 0; round < 2; round++) {
        while (!isFollowed()) assert.ok((await validate(accessToken)).isValid);
        while (isFollowed()) await setImmediate();
      }
    });
  });
}
