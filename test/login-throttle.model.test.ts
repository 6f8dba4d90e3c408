import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sql } from "kysely";
import { LoginSlowedError } from "../src/auth/login.errors.ts";
import { makeLoginKeys } from "../src/auth/login-keys.ts";
import { defaultLoginRules, type LoginRule, type LoginRules } from "../src/auth/login-rules.ts";
import { createLoginThrottle, type LoginAttempt, type LoginThrottle } from "../src/auth/login-throttle.ts";
import type { Database } from "../src/schema.ts";
import { backends } from "./support/databases.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";

const noSecret = new Uint8Array();
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A throttle whose clock the test sets. */
function openThrottle(database: Database, rules: LoginRules = defaultLoginRules) {
  const clock = { ms: Date.UTC(2030, 0, 1) };
  const throttle = createLoginThrottle({ database, rules, now: () => new Date(clock.ms) });
  return { clock, throttle };
}

/** The attempt, or for how long there is none. */
async function begin(
  throttle: LoginThrottle,
  email: string,
  address: string,
): Promise<LoginAttempt | number> {
  try {
    return await throttle.begin(email, address);
  } catch (error) {
    assert.ok(error instanceof LoginSlowedError, String(error));
    assert.ok(Number.isSafeInteger(error.retryAfterMs) && error.retryAfterMs > 0);
    return error.retryAfterMs;
  }
}

interface ModelRow {
  readonly rule: LoginRule;
  failures: number;
  blockedUntil: number;
  expiresAt: number;
}

interface ModelAttempt {
  readonly counted: readonly { key: string; until: number; before: number }[];
  readonly pairKey: string;
  readonly knownKey: string;
}

/** What the throttle promises, said once more and without a database. */
class Model {
  readonly rows = new Map<string, ModelRow>();
  readonly known = new Map<string, number>();

  begin(email: string, address: string, now: number): ModelAttempt | number {
    const [pairKey, knownKey] = [`${email} at ${address}`, `${email} knows ${address}`];
    const isKnown =
      (this.known.get(knownKey) ?? Number.NEGATIVE_INFINITY) > now - defaultLoginRules.knownAddressMs;
    const rules = new Map([[pairKey, defaultLoginRules.accountAtAddress]]);
    if (!isKnown) {
      rules.set(address, defaultLoginRules.address);
      rules.set(email, defaultLoginRules.account);
    }
    const rows = [...rules].map(([key, rule]) => ({ key, row: this.#row(key, rule, now) }));
    const until = Math.max(...rows.map(({ row }) => row.blockedUntil));
    if (until > now) return until - now;
    const counted = rows.map(({ key, row }) => {
      const before = row.blockedUntil;
      row.failures += 1;
      row.expiresAt = now + row.rule.memoryMs;
      const behind = row.failures - row.rule.free;
      if (behind >= 0) {
        row.blockedUntil = now + Math.min(row.rule.longestMs, row.rule.shortestMs * 2 ** behind);
      }
      return { key, until: row.blockedUntil, before };
    });
    return { counted, pairKey, knownKey };
  }

  takeBack({ counted, pairKey, knownKey }: ModelAttempt, hasSucceeded: boolean, now: number): void {
    for (const { key, until, before } of counted) {
      const row = this.rows.get(key) as ModelRow;
      const isForgotten = hasSucceeded && key === pairKey;
      row.failures = isForgotten ? 0 : Math.max(0, row.failures - 1);
      if (isForgotten) row.blockedUntil = 0;
      else if (row.blockedUntil === until) row.blockedUntil = before;
    }
    const seen = this.known.get(knownKey);
    if (hasSucceeded && (seen === undefined || seen < now - dayMs)) this.known.set(knownKey, now);
  }

  #row(key: string, rule: LoginRule, now: number): ModelRow {
    let row = this.rows.get(key);
    if (row === undefined || row.expiresAt <= now) {
      row = { rule, failures: 0, blockedUntil: 0, expiresAt: now + rule.memoryMs };
      this.rows.set(key, row);
    }
    return row;
  }
}

const accounts = ["ada@example.com", "bob@example.com", "nobody@example.com"] as const;
const addresses = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"] as const;

/** Mostly at once or as soon as possible, sometimes much later. */
function pickPause(random: SeededRandom): number {
  return random.pick([0, 0, 0, 0, 0, 1, 500, 1_000, 5_000, 60_000, 15 * 60_000, hourMs, dayMs, 91 * dayMs]);
}

async function checkAgainstModel(random: SeededRandom, database: Database): Promise<void> {
  const { clock, throttle } = openThrottle(database);
  const model = new Model();
  const open: { attempt: LoginAttempt; expected: ModelAttempt }[] = [];
  // Few at a time, so that one account or address is often at its bounds.
  const [busyAccounts, busyAddresses] = [
    accounts.slice(random.integer(0, 2)),
    addresses.slice(random.integer(0, 3)),
  ];
  let lastRefusalMs: number | undefined;
  for (let step = 0; step < 150; step++) {
    clock.ms += lastRefusalMs !== undefined && random.oneIn(2) ? lastRefusalMs : pickPause(random);
    if (open.length > 0 && random.oneIn(3)) {
      const [{ attempt, expected }] = open.splice(random.integer(0, open.length - 1), 1) as [
        (typeof open)[0],
      ];
      const hasSucceeded = random.oneIn(3);
      model.takeBack(expected, hasSucceeded, clock.ms);
      await (hasSucceeded ? attempt.succeed() : attempt.withdraw());
    }
    const email = random.pick(busyAccounts as unknown as typeof accounts);
    const address = random.pick(busyAddresses as unknown as typeof addresses);
    const expected = model.begin(email, address, clock.ms);
    const actual = await begin(throttle, email, address);
    if (typeof expected === "number" || typeof actual === "number") {
      assert.equal(actual, expected, `step ${step}: ${email} at ${address}`);
      lastRefusalMs = expected as number;
      continue;
    }
    lastRefusalMs = undefined;
    // Those that are never settled have failed.
    if (random.oneIn(2)) open.push({ attempt: actual, expected });
  }
}

/** Tries as often as it is let. @returns when it was */
async function tryGreedily(
  { clock, throttle }: ReturnType<typeof openThrottle>,
  lastsMs: number,
  pickTarget: (attempt: number) => readonly [email: string, address: string],
): Promise<number[]> {
  const times: number[] = [];
  for (const endMs = clock.ms + lastsMs; clock.ms < endMs; ) {
    const outcome = await begin(throttle, ...pickTarget(times.length));
    if (typeof outcome === "number") {
      // A refusal says exactly for how long.
      clock.ms += outcome - 1;
      assert.equal(await begin(throttle, ...pickTarget(times.length)), 1);
      clock.ms += 1;
      assert.notEqual(typeof (await begin(throttle, ...pickTarget(times.length))), "number");
    }
    times.push(clock.ms);
  }
  return times;
}

function mostInAnHour(times: readonly number[]): number {
  return Math.max(
    ...times.map((start) => times.filter((time) => time >= start && time < start + hourMs).length),
  );
}

for (const backend of backends) {
  describe(`the login throttle on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);
    async function renew(): Promise<Database> {
      const { database } = await shared.renew();
      await sql`truncate login_attempts, login_addresses`.execute(database);
      return database;
    }

    test("decides as its model does, whoever tries what, when and in which order", async () => {
      for (let run = 0; run < 3; run++) {
        const database = await renew();
        await withSeed((random) => checkAgainstModel(random, database));
      }
    });

    test("never slows an owner down at an address that the account knows, whatever strangers do", async () => {
      await withSeed(async (random) => {
        const { clock, throttle } = openThrottle(await renew());
        const home = "198.51.100.7";
        await (await throttle.begin("ada@example.com", home)).succeed();
        for (let step = 0; step < 150; step++) {
          clock.ms += random.pick([0, 0, 0, 0, 1_000, 60_000, hourMs]);
          if (random.oneIn(10)) {
            const attempt = await throttle.begin("ADA@example.com", home);
            await (random.oneIn(2) ? attempt.withdraw() : attempt.succeed());
          } else if (random.oneIn(2)) {
            await begin(throttle, "ada@example.com", `192.0.2.${random.integer(1, 30)}`);
          } else {
            await begin(throttle, `user${random.integer(1, 100)}@example.com`, home);
          }
        }
      });
    });

    test("lets an owner in at a new address after the longest wait, once the strangers stop", async () => {
      const { clock, throttle } = openThrottle(await renew());
      for (let host = 0; host < 250; host++) {
        await begin(throttle, "ada@example.com", `192.0.2.${host}`);
        clock.ms += 10_000;
      }
      const wait = await begin(throttle, "ada@example.com", "198.51.100.7");
      assert.ok(typeof wait === "number" && wait <= defaultLoginRules.account.longestMs);
      clock.ms += wait;
      await (await throttle.begin("ada@example.com", "198.51.100.7")).succeed();
    });

    test("lets at most so many guesses through in any hour, and says exactly when the next may be", async () => {
      const many = openThrottle(await renew());
      const shares = await tryGreedily(many, 3 * hourMs, (n) => [
        "ada@example.com",
        `10.0.${n >> 8}.${n % 256}`,
      ]);
      assert.equal(mostInAnHour(shares), 55);

      const one = openThrottle(await renew());
      await (await one.throttle.begin("ada@example.com", "10.0.0.1")).succeed();
      const single = await tryGreedily(one, 3 * hourMs, () => ["ada@example.com", "10.0.0.1"]);
      assert.equal(mostInAnHour(single), 17);

      const spray = openThrottle(await renew());
      const sprayed = await tryGreedily(spray, 2 * hourMs, (n) => [`user${n}@example.com`, "10.0.0.1"]);
      assert.equal(mostInAnHour(sprayed), 114);
    });

    test("lets of many attempts at once through what it would let through one after the other", async () => {
      const { free } = defaultLoginRules.accountAtAddress;
      for (const [name, count, target] of [
        ["one account at one address", free, () => ["ada@example.com", "10.0.0.1"]],
        ["many accounts at one address", 50, (n: number) => [`user${n}@example.com`, "10.0.0.1"]],
        ["one account at many addresses", 20, (n: number) => ["ada@example.com", `10.0.0.${n}`]],
      ] as const) {
        const { throttle } = openThrottle(await renew());
        const outcomes = await Promise.all(
          Array.from({ length: 120 }, (_, n) => begin(throttle, ...(target(n) as [string, string]))),
        );
        assert.equal(outcomes.filter((outcome) => typeof outcome !== "number").length, count, name);
      }
    });

    test("counts what it lets through, under every key, and never what it refuses", async () => {
      await withSeed(async (random) => {
        const database = await renew();
        const { throttle } = openThrottle(database);
        const expected = new Map<string, number>();
        await Promise.all(
          Array.from({ length: 200 }, async () => {
            const [email, address] = [random.pick(accounts), random.pick(addresses)];
            if (typeof (await begin(throttle, email, address)) === "number") return;
            for (const key of Object.values(makeLoginKeys(email, address, noSecret))) {
              expected.set(key, (expected.get(key) ?? 0) + 1);
            }
          }),
        );
        const rows = await database.selectFrom("login_attempts").select(["key", "failures"]).execute();
        const counted = rows.filter((row) => row.failures > 0);
        assert.deepEqual(new Map(counted.map((row) => [row.key, row.failures])), expected);
      });
    });

    test("takes back what many at once have counted, whatever they turned out to be", async () => {
      await withSeed(async (random) => {
        const database = await renew();
        const { throttle } = openThrottle(database);
        await Promise.all(
          Array.from({ length: 200 }, async () => {
            const attempt = await begin(throttle, random.pick(accounts), random.pick(addresses));
            if (typeof attempt === "number") return;
            await (random.oneIn(2) ? attempt.succeed() : attempt.withdraw());
          }),
        );
        const rows = await database.selectFrom("login_attempts").selectAll().execute();
        for (const { failures, blocked_until_ms } of rows) {
          assert.deepEqual({ failures, blocked_until_ms }, { failures: 0, blocked_until_ms: 0n });
        }
      });
    });

    test("takes a success back for its address and its account, but forgets no failures of others there", async () => {
      const { clock, throttle } = openThrottle(await renew());
      const { free } = defaultLoginRules.address;
      for (let n = 0; n < free - 1; n++) await throttle.begin(`user${n}@example.com`, "10.0.0.1");
      // A stranger's own account is no way to go on guessing.
      for (let n = 0; n < 3; n++) await (await throttle.begin("own@example.com", "10.0.0.1")).succeed();
      await throttle.begin("ada@example.com", "10.0.0.1");
      assert.equal(await begin(throttle, "bob@example.com", "10.0.0.1"), 1_000);
      clock.ms += 1_000;
      await throttle.begin("bob@example.com", "10.0.0.1");
      assert.equal(await begin(throttle, "carl@example.com", "10.0.0.1"), 2_000);
    });

    test("knows an address for 90 days after the last login, and the 20 used last", async () => {
      const database = await renew();
      const { clock, throttle } = openThrottle(database);
      const logIn = async (host: number) =>
        (await throttle.begin("ada@example.com", `10.0.0.${host}`)).succeed();
      for (let host = 1; host <= 22; host++) {
        await logIn(host);
        clock.ms += 1;
      }
      const { rows } = await sql<{ address_key: string }>`
        select address_key from login_addresses order by seen_at_ms`.execute(database);
      assert.deepEqual(
        rows.map((row) => row.address_key),
        Array.from(
          { length: 20 },
          (_, index) => makeLoginKeys("ada@example.com", `10.0.0.${index + 3}`, noSecret).address,
        ),
      );
      clock.ms += 89 * dayMs;
      await logIn(22);
      clock.ms += 89 * dayMs;
      for (let n = 0; n < 20; n++) await throttle.begin("ada@example.com", `10.1.0.${n}`);
      await logIn(22);
      assert.equal(typeof (await begin(throttle, "ada@example.com", "10.0.0.21")), "number");
    });
  });
}
