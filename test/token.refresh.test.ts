import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import { decodeJwt } from "jose";
import { sql } from "kysely";
import { deleteExpiredRefreshTokens } from "../src/auth/refresh-token-clean-up.ts";
import { RefreshTokenInvalidError } from "../src/auth/token.errors.ts";
import type { TokenPair } from "../src/auth/token-pair.ts";
import { UserNotFoundError } from "../src/users/user.errors.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";
import {
  createTestAccount,
  openTokenSystem,
  type TokenSystem,
  type TokenSystemOptions,
  tokenSettings,
} from "./support/token-system.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const { refreshTtlMs } = tokenSettings;

/** The one answer to a token that is not good: nothing in it tells why. */
async function assertRefused({ tokens }: TokenSystem, refreshToken: string): Promise<void> {
  const error = await tokens.refresh(refreshToken).then(
    () => assert.fail("a bad refresh token was taken"),
    (reason: unknown) => reason,
  );
  assert.deepEqual(error, new RefreshTokenInvalidError());
}

type Step =
  | { readonly kind: "login" }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "refresh"; readonly index: number };

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ kind: "login" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.integer({ min: 0, max: refreshTtlMs }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("refresh" as const), index: fc.nat() }) },
);

for (const backend of backends) {
  describe(`refresh tokens on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    async function open(t: TestContext, options: TokenSystemOptions = {}): Promise<TokenSystem> {
      return openTokenSystem(t, await shared.renew(), options);
    }

    async function logIn(system: TokenSystem): Promise<TokenPair> {
      return system.tokens.issue(await createTestAccount(system.accounts));
    }

    test("a refresh token is traded once, for a pair that is as good", async (t) => {
      const system = await open(t);
      const first = await logIn(system);
      assert.match(first.refreshToken, /^ubr_[\w-]{43}$/);
      assert.equal(first.expiresInSeconds, 3_600);
      let pair = first;
      for (let round = 0; round < 3; round++) {
        const next = await system.tokens.refresh(pair.refreshToken);
        assert.notEqual(next.refreshToken, pair.refreshToken);
        assert.equal(decodeJwt(next.accessToken).sub, decodeJwt(first.accessToken).sub);
        assert.ok((await system.tokens.validate(next.accessToken)).isValid);
        pair = next;
      }
    });

    test("the database never sees a refresh token", async (t) => {
      const system = await open(t);
      const pair = await logIn(system);
      const next = await system.tokens.refresh(pair.refreshToken);
      const { rows } = await sql<{ row: string }>`
        select to_jsonb(refresh_tokens)::text as row from refresh_tokens
        union all select to_jsonb(refresh_token_families)::text from refresh_token_families`.execute(
        system.database,
      );
      assert.equal(rows.length, 3);
      for (const { refreshToken } of [pair, next]) {
        const secret = refreshToken.slice("ubr_".length);
        const forms = [secret, Buffer.from(secret, "base64url").toString("hex")];
        for (const { row } of rows) {
          for (const form of forms) assert.ok(!row.includes(form));
        }
      }
    });

    test("a replay ends the whole family, for good, and no other", async (t) => {
      const system = await open(t);
      const account = await createTestAccount(system.accounts);
      const first = await system.tokens.issue(account);
      const other = await system.tokens.issue(account);
      const second = await system.tokens.refresh(first.refreshToken);
      const third = await system.tokens.refresh(second.refreshToken);
      await assertRefused(system, first.refreshToken);
      for (const pair of [first, second, third]) await assertRefused(system, pair.refreshToken);
      await system.tokens.refresh(other.refreshToken);
    });

    test("of refreshes that race for one token, exactly one wins, and its family is dead then", async (t) => {
      const ready = await shared.renew();
      const replicas = [await openTokenSystem(t, ready), await openTokenSystem(t, ready)];
      const [replica] = replicas;
      assert.ok(replica);
      for (let round = 0; round < 10 * scale; round++) {
        const { refreshToken } = await logIn(replica);
        const racers = [...replicas, ...(round % 2 === 0 ? replicas : [])];
        const outcomes = await Promise.allSettled(racers.map((racer) => racer.tokens.refresh(refreshToken)));
        const winners = outcomes.filter((outcome) => outcome.status === "fulfilled");
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") assert.deepEqual(outcome.reason, new RefreshTokenInvalidError());
        }
        assert.equal(winners.length, 1);
        for (const { value } of winners) await assertRefused(replica, value.refreshToken);
      }
      const families = await replica.database
        .selectFrom("refresh_token_families")
        .select("revoked_at")
        .execute();
      assert.ok(families.every((family) => family.revoked_at !== null));
    });

    test("what is no good refresh token is refused in one and the same way", async (t) => {
      const clock = { ms: Date.now() };
      const system = await open(t, { clock });
      const { refreshToken } = await logIn(system);
      const digits = refreshToken.slice("ubr_".length);
      const malformed = [
        "",
        digits,
        `ubr_${"A".repeat(43)}`,
        `ubr_${digits.slice(0, -1)}`,
        `${refreshToken}=`,
        `${refreshToken} `,
        `UBR_${digits}`,
        "\0",
        "\ud800",
        "x".repeat(2_000),
      ];
      for (const text of malformed) await assertRefused(system, text);

      const deactivated = await createTestAccount(system.accounts);
      const itsPair = await system.tokens.issue(deactivated);
      await system.users.setActive(deactivated.id, false);
      await assertRefused(system, itsPair.refreshToken);
      await system.users.setActive(deactivated.id, true);
      await assertRefused(system, itsPair.refreshToken);

      const changed = await createTestAccount(system.accounts);
      const oldPair = await system.tokens.issue(changed);
      await system.accounts.update(changed.id, { passwordHash: "$argon2id$v=19$m=8,t=1,p=1$bmV3$hash" });
      await assertRefused(system, oldPair.refreshToken);

      const deleted = await createTestAccount(system.accounts);
      const lastPair = await system.tokens.issue(deleted);
      await system.accounts.delete(deleted.id);
      await assertRefused(system, lastPair.refreshToken);
      await assert.rejects(system.tokens.issue(deleted), UserNotFoundError);

      // All this has done nothing to the good one, until its time is over.
      clock.ms += refreshTtlMs;
      await assertRefused(system, refreshToken);
      clock.ms -= 1;
      await system.tokens.refresh(refreshToken);
    });

    test("a caller who has left does not use its token up", async (t) => {
      const system = await open(t);
      const { refreshToken } = await logIn(system);
      const gone = AbortSignal.abort(new Error("left"));
      await assert.rejects(system.tokens.refresh(refreshToken, gone), /left/);
      const next = await system.tokens.refresh(refreshToken);
      // But a thief who leaves at once is found out all the same.
      await assert.rejects(system.tokens.refresh(refreshToken, gone), RefreshTokenInvalidError);
      await assertRefused(system, next.refreshToken);
    });

    test("logins, refreshes, replays and waits in any order keep the rules", async (t) => {
      const ready = await shared.renew();
      const clock = { ms: Date.now() };
      const replicas = [
        await openTokenSystem(t, ready, { clock }),
        await openTokenSystem(t, ready, { clock }),
      ] as const;
      const account = await createTestAccount(replicas[0].accounts);
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 30 }), async (script) => {
          const model: { token: string; family: { alive: boolean }; usableUntil: number; used: boolean }[] =
            [];
          for (const [round, step] of script.entries()) {
            const system = replicas[round % 2 === 0 ? 0 : 1];
            if (step.kind === "wait") {
              clock.ms += step.ms;
              // The clean-up changes nothing that anybody could notice.
              await deleteExpiredRefreshTokens(system.database, clock.ms);
              continue;
            }
            const known = step.kind === "login" ? undefined : model[step.index % model.length];
            const usableUntil = clock.ms + refreshTtlMs;
            if (known === undefined) {
              const { refreshToken: token } = await system.tokens.issue(account);
              model.push({ token, family: { alive: true }, usableUntil, used: false });
            } else if (known.family.alive && clock.ms < known.usableUntil && !known.used) {
              known.used = true;
              const { refreshToken: token } = await system.tokens.refresh(known.token);
              model.push({ token, family: known.family, usableUntil, used: false });
            } else {
              await assertRefused(system, known.token);
              if (clock.ms < known.usableUntil) known.family.alive = false;
            }
          }
        }),
        { numRuns: 10 * scale },
      );
    });

    test("expired tokens and families are deleted, and nothing else", async (t) => {
      const clock = { ms: Date.now() };
      const system = await open(t, { clock });
      const kept = await logIn(system);
      await logIn(system);
      clock.ms += refreshTtlMs / 2;
      const next = await system.tokens.refresh(kept.refreshToken);
      clock.ms += refreshTtlMs / 2 + 1;
      assert.equal(await deleteExpiredRefreshTokens(system.database, clock.ms), 2);
      const { rows } = await sql<{ families: bigint; tokens: bigint }>`
        select (select count(*) from refresh_token_families) as families,
          (select count(*) from refresh_tokens) as tokens`.execute(system.database);
      assert.deepEqual(rows[0], { families: 1n, tokens: 1n });
      await system.tokens.refresh(next.refreshToken);
    });
  });
}
