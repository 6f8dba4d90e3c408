import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { v7 as uuidv7 } from "uuid";
import { RegisterUserRequestSchema } from "../gen/users/v1/users_pb.ts";
import { InvalidInputError } from "../src/platform/errors.ts";
import { parseByteSize, parseDuration } from "../src/platform/units.ts";
import type { Database } from "../src/schema.ts";
import { changeAccount } from "../src/users/account.ts";
import { insertUsers } from "../src/users/user.repository.ts";
import {
  createUser,
  findEmailViolation,
  findUsernameViolation,
  normalizeEmail,
  normalizeUsername,
  type User,
} from "../src/users/user.ts";
import { backends } from "./support/databases.ts";
import { openLog } from "./support/event-system.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 tries ten times as many. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

const validUsernames = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_]{1,28}[a-zA-Z0-9]$/);
const labels = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,12}[a-zA-Z0-9])?$/);
const longLabels = fc.stringMatching(/^[a-z0-9][a-z0-9-]{55,61}[a-z0-9]$/);
const validEmails = fc
  .tuple(
    fc.stringMatching(/^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}$/),
    fc.array(fc.oneof({ weight: 4, arbitrary: labels }, longLabels), { minLength: 1, maxLength: 3 }),
  )
  .map(([local, domain]) => `${local}@${domain.join(".")}`);

/** What is at the edge of a rule, or looks like something inside it. */
const oddCharacters = fc.constantFrom(
  ..."_-.@ \t\n\r\0\u00a0\u200b0Aaz{[`\\\"'é",
  "\u212a", // Kelvin sign, whose lower case is the letter k
  "\u0130", // capital I with a dot, whose lower case is two characters
  "\u0661", // a digit, but none of the ten
  "\ud83d\ude00",
  "\ud800", // half of a character
);

/** Valid texts with a piece removed, put in or doubled. */
function nearly(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(valid, fc.nat({ max: 400 }), fc.nat({ max: 3 }), fc.string({ unit: oddCharacters, maxLength: 2 }))
    .map(([text, at, removed, added]) => {
      const index = at % (text.length + 1);
      return text.slice(0, index) + added + text.slice(index + removed);
    });
}

const usernames = fc.oneof(
  validUsernames,
  nearly(validUsernames),
  fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_]{0,40}$/),
  fc.string({ unit: "binary" }),
);
const emails = fc.oneof(
  validEmails,
  nearly(validEmails),
  fc
    .tuple(fc.integer({ min: 1, max: 300 }), labels)
    .map(([length, label]) => `${"a".repeat(length)}@${label}`),
  fc.string({ unit: "binary" }),
  fc.emailAddress(),
);

const longestEmail = `${"a".repeat(254 - "@example.com".length)}@example.com`;

describe("the domain's rules and those of the .proto file", () => {
  const validator = createValidator();

  function fieldsRefusedByProto(email: string, username: string): string[] {
    const result = validator.validate(
      RegisterUserRequestSchema,
      create(RegisterUserRequestSchema, { email, username }),
    );
    assert.notEqual(result.kind, "error", String(result.error));
    return [...new Set(result.violations?.map((violation) => pathToString(violation.field)))].sort();
  }

  function fieldsRefusedByDomain(email: string, username: string): string[] {
    try {
      createUser({ email, username }, new Date());
      return [];
    } catch (error) {
      assert.ok(error instanceof InvalidInputError);
      return error.violations.map((violation) => violation.field).sort();
    }
  }

  test("refuse the same emails and the same usernames", () => {
    fc.assert(
      fc.property(emails, usernames, (email, username) =>
        assert.deepEqual(fieldsRefusedByDomain(email, username), fieldsRefusedByProto(email, username)),
      ),
      { numRuns: 3_000 * scale },
    );
  });

  test("agree at the edges", () => {
    // As examples of the property above these would be shrunk, which takes for ever for texts of this length.
    for (const [email, username, refused] of [
      [longestEmail, "abc", []],
      [`a${longestEmail}`, "ab", ["email", "username"]],
      ["a@b", "a".repeat(30), []],
      ["a@b\n", "a".repeat(31), ["email", "username"]],
      ["a@-b", "abc\n", ["email", "username"]],
      [`a@${"b".repeat(63)}`, "ab_", ["username"]],
      [`a@${"b".repeat(64)}`, "_ab", ["email", "username"]],
      ["", "", ["email", "username"]],
    ] as const) {
      assert.deepEqual(fieldsRefusedByDomain(email, username), refused, `${email} ${username}`);
      assert.deepEqual(fieldsRefusedByProto(email, username), refused, `${email} ${username}`);
    }
  });

  test("both accept what a valid user is made of, so that the comparison compares something", () => {
    fc.assert(
      fc.property(
        validEmails.filter((email) => email.length <= 254),
        validUsernames,
        (email, username) => {
          assert.deepEqual(fieldsRefusedByDomain(email, username), []);
          assert.deepEqual(fieldsRefusedByProto(email, username), []);
        },
      ),
      { numRuns: 500 * scale },
    );
  });
});

describe("the normal form", () => {
  for (const [name, texts, normalize, findViolation] of [
    ["an email", emails, normalizeEmail, findEmailViolation],
    ["a username", usernames, normalizeUsername, findUsernameViolation],
  ] as const) {
    test(`of ${name} is its own, and valid where the text was`, () => {
      fc.assert(
        fc.property(texts, (text) => {
          const normal = normalize(text);
          assert.equal(normalize(normal), normal);
          if (findViolation(text, "field") === undefined) {
            assert.equal(findViolation(normal, "field"), undefined);
            assert.equal(normal.length, text.length);
          }
        }),
        { numRuns: 2_000 * scale },
      );
    });
  }

  test("is what a user has from the start, so that a change of case alone changes nothing", () => {
    const shortEmails = validEmails.filter((email) => email.length <= 254);
    fc.assert(
      fc.property(shortEmails, validUsernames, (email, username) => {
        const user = createUser({ email, username }, new Date());
        assert.equal(user.email, normalizeEmail(email));
        assert.equal(user.username, normalizeUsername(username));
        const change = { email: email.toUpperCase(), username: username.toUpperCase() };
        const account = { ...user, fullName: "", isSuperuser: false, updatedAt: new Date(), tokenEpoch: 0 };
        assert.equal(changeAccount(account, change, new Date()), account);
      }),
      { numRuns: 500 * scale },
    );
  });
});

describe("units", () => {
  const factors = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const sizes = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  const unitOf = <Unit extends string>(units: Readonly<Record<Unit, number>>) =>
    fc.constantFrom(...(Object.keys(units) as Unit[]));

  test("a whole number and a unit is their product, as long as that is exact", () => {
    const numbers = fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 60n }).map(Number));
    fc.assert(
      fc.property(numbers, unitOf(factors), unitOf(sizes), (value, time, size) => {
        const exact = (product: number) => (Number.isSafeInteger(product) ? product : undefined);
        const digits = BigInt(value).toString();
        assert.equal(parseDuration(`${digits}${time}`), exact(value * factors[time]));
        assert.equal(parseByteSize(`${digits}${size}`), exact(value * sizes[size]));
        assert.equal(parseByteSize(digits), exact(value));
      }),
      { numRuns: 1_000 * scale },
    );
  });

  test("a decimal fraction of a duration is rounded to a millisecond", () => {
    fc.assert(
      fc.property(fc.nat({ max: 9_999 }), fc.nat({ max: 999 }), unitOf(factors), (whole, milli, unit) => {
        const text = `${whole}.${String(milli).padStart(3, "0")}${unit}`;
        const exactTimes1000 = (whole * 1_000 + milli) * factors[unit];
        assert.ok(Math.abs((parseDuration(text) ?? Number.NaN) * 1_000 - exactTimes1000) <= 500);
      }),
      { numRuns: 1_000 * scale },
    );
  });

  test("anything else is none: signs, exponents, spaces, other units, other digits", () => {
    const anything = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."0159.,+-eEx smhdBKMGib\n\u0661") }),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(anything, (text) => {
        for (const [parse, pattern] of [
          [parseDuration, /^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$/],
          [parseByteSize, /^[0-9]+(B|KiB|MiB|GiB)?$/],
        ] as const) {
          const value = parse(text);
          assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 0));
          // A trailing line break would pass where $ is the end of a line.
          if (!pattern.test(text) || text.includes("\n")) assert.equal(value, undefined);
        }
      }),
      {
        numRuns: 3_000 * scale,
        examples: [["1s\n"], [" 1s"], ["1e3s"], ["-1s"], ["1."], ["1.s"], ["1.5KiB"]],
      },
    );
  });
});

for (const backend of backends) {
  describe(`users on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("whatever the domain accepts, the database accepts", async () => {
      const { database } = await shared.renew();
      const accepted = fc
        .record({ email: emails, username: usernames })
        .filter(
          ({ email, username }) =>
            findEmailViolation(email, "email") === undefined &&
            findUsernameViolation(username, "username") === undefined,
        );
      const batches = fc.uniqueArray(accepted, {
        minLength: 1,
        maxLength: 100,
        comparator: (one, other) =>
          normalizeEmail(one.email) === normalizeEmail(other.email) ||
          normalizeUsername(one.username) === normalizeUsername(other.username),
      });
      await insertAll(database, [
        createUser({ email: longestEmail, username: "a".repeat(30) }, new Date()),
        createUser({ email: "a@b", username: "abc" }, new Date()),
      ]);
      await fc.assert(
        fc.asyncProperty(batches, async (batch) => {
          await database.deleteFrom("users").execute();
          const users = batch.map((input) => createUser(input, new Date()));
          await insertAll(database, users);
          assert.equal((await database.selectFrom("users").select("id").execute()).length, users.length);
        }),
        { numRuns: 40 * scale },
      );
    });

    test("a caller who pages sees whoever was there at the start once, whoever comes and goes meanwhile", async (t) => {
      const times = fc.integer({ min: 0, max: 20 });
      const steps = fc.record({
        pageSize: fc.integer({ min: 1, max: 7 }),
        arriving: fc.array(times, { maxLength: 4 }),
        leaving: fc.array(fc.nat({ max: 40 }), { maxLength: 2 }),
      });
      const { database } = await shared.renew();
      const { users } = await openLog(t, database);
      let made = 0;
      // Few points of time, so that ids come before, between and behind those that were there.
      const newUser = (time: number): User => {
        made += 1;
        const names = { email: `u${made}@example.com`, username: `user${made}` };
        return { ...createUser(names, new Date()), id: uuidv7({ msecs: time }) };
      };
      await fc.assert(
        fc.asyncProperty(
          fc.array(times, { maxLength: 30 }),
          fc.array(steps, { minLength: 1 }),
          async (start, plan) => {
            await database.deleteFrom("users").execute();
            const atStart = start.map(newUser);
            await insertAll(database, atStart);
            const left = new Set<string>();
            const seen: string[] = [];
            let token = "";
            for (let step = 0; step === 0 || token !== ""; step++) {
              assert.ok(step < 1_000, "the pages never end");
              const { pageSize, arriving, leaving } = plan[step % plan.length] ?? assert.fail();
              const page = await users.list({ size: pageSize, token });
              assert.ok(page.users.length <= pageSize);
              seen.push(...page.users.map((user) => user.id));
              token = page.nextToken;
              // Towards the end nobody arrives any more, or paging would not end.
              if (step < 30) await insertAll(database, arriving.map(newUser));
              for (const index of leaving) {
                const leaver = atStart[index];
                if (leaver === undefined) continue;
                left.add(leaver.id);
                await database.deleteFrom("users").where("id", "=", leaver.id).execute();
              }
            }
            assert.equal(new Set(seen).size, seen.length, "somebody was seen twice");
            assert.deepEqual(seen, [...seen].sort(), "not oldest first");
            const missed = atStart.filter((user) => !seen.includes(user.id) && !left.has(user.id));
            assert.deepEqual(missed, []);
          },
        ),
        { numRuns: 40 * scale },
      );
    });
  });
}

async function insertAll(database: Database, users: readonly User[]): Promise<void> {
  if (users.length === 0) return;
  const refused = await database.transaction().execute((transaction) => insertUsers(transaction, users));
  assert.equal(refused.size, 0);
}
