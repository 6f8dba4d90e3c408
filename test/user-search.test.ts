import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { SearchFilter, UserSearch } from "../src/profiles/search/user-search.ts";
import { backends } from "./support/databases.ts";
import { openLog } from "./support/event-system.ts";
import { createAccount, openSearch } from "./support/search-system.ts";
import { type SharedDatabase, useDatabase } from "./support/shared-database.ts";

/** Names in several scripts, in the order of their ids: email, full name, username. */
const corpus: readonly (readonly [email: string, fullName: string, username?: string])[] = [
  ["adam@example.com", "Adam Smith", "adam_s"],
  ["canada@example.com", "Nora Berg"],
  ["ada@example.com", "Ada Lovelace", "countess"],
  ["lovelady@example.com", "Grace Lovelady"],
  ["jose@example.com", "José Müller", "jose_m"],
  ["strasse@example.com", "Anna Straße"],
  ["ivan@example.com", "Иван Петров"],
  ["ivanov@example.com", "Иванов Пётр"],
  ["yamada@example.com", "山田太郎"],
  ["kanji@example.com", "漢字 花子", "kanji_hana"],
  ["x1@example.com", "100% Real", "per_cent"],
  ["x2@example.com", "100x Real"],
  ["who@example.com", "Countess Dracula"],
];

/** What is found, as the part of the email before the @, best first. The same on every database. */
const expectations: readonly (readonly [text: string, found: readonly string[]])[] = [
  // The beginning of a word, whole words first; then the middle of one.
  ["ada", ["ada", "adam", "canada", "yamada"]],
  ["ADA  LOVELACE", ["ada", "lovelady"]],
  ["Lovelace Ada", ["ada", "lovelady"]],
  ["lovela", ["ada", "lovelady"]],
  // A typing error finds what was meant.
  ["lovelase", ["ada", "lovelady"]],
  ["Müler", ["jose"]],
  // Whose email or username it is comes first, whatever the names say.
  ["countess", ["ada", "who"]],
  ["ada@example.com", ["ada", "canada", "yamada"]],
  ["JOSÉ", ["jose"]],
  ["mu\u0308ller", ["jose"]],
  ["strasse", ["strasse"]],
  ["STRASSE", ["strasse"]],
  ["иван", ["ivan", "ivanov"]],
  ["ПЕТРОВ", ["ivan"]],
  ["太郎", ["yamada"]],
  ["郎", ["yamada"]],
  ["漢字", ["kanji"]],
  // One or two characters begin a word.
  ["lo", ["ada", "lovelady"]],
  ["ov", []],
  // What LIKE takes for wildcards is meant as it stands; x2 resembles the first, having the word 100x.
  ["100%", ["x1", "x2"]],
  ["%", []],
  ["r_c", ["x1"]],
  ["\\", []],
  ["nobody at all", []],
];

const unsearchable = ["ada\0", "\ud800", "a\udc00da"];

for (const backend of backends) {
  describe(`searching users on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("ranks names in several scripts alike on every database", async (t) => {
      const { find } = await openCorpus(t, shared);
      const found = [];
      for (const [text] of expectations) found.push([text, await find(text)]);
      assert.deepEqual(found, expectations);
    });

    test("finds everybody by id where there is no text, and nobody by what no text can hold", async (t) => {
      const { find } = await openCorpus(t, shared);
      const everybody = corpus.map(([email]) => email.replace(/@.*/, ""));
      assert.deepEqual(await find(""), everybody);
      assert.deepEqual(await find(" \t\u00a0\u0007"), everybody);
      for (const text of unsearchable) assert.deepEqual(await find(text), [], JSON.stringify(text));
    });

    test("filters are exact, hold together, and contradict each other", async (t) => {
      const { search, emails, system, idOf } = await openCorpus(t, shared);
      await system.accounts.update(idOf("adam"), { isActive: false, isSuperuser: true });
      await system.accounts.update(idOf("ada"), { isSuperuser: true });
      const find = async (text: string, ...filters: SearchFilter[]) =>
        emails(await search.search({ text, limit: 0, offset: 0, filters }));
      for (const text of ["ada", "ad", ""]) {
        const all = (await find(text)).filter((name) => /^ada/.test(name));
        assert.deepEqual(all.toSorted(), ["ada", "adam"]);
        assert.deepEqual(await find(text, "inactive"), ["adam"]);
        assert.deepEqual((await find(text, "superuser")).toSorted(), ["ada", "adam"]);
        assert.deepEqual(await find(text, "superuser", "active", "has_username"), ["ada"]);
        assert.deepEqual(await find(text, "active", "inactive"), []);
      }
      assert.deepEqual(await find("example", "has_username", "active"), ["ada", "jose", "kanji", "x1"]);
    });

    test("pages say the real total, and a limit is 50 by default and 1,000 at most", async (t) => {
      const { search, system } = await openCorpus(t, shared);
      for (let begin = 0; begin < 1_100; begin += 100) {
        await Promise.all(
          Array.from({ length: 100 }, (_, index) =>
            system.users.register({
              email: `crowd${begin + index}@example.org`,
              username: `crowd${begin + index}`,
            }),
          ),
        );
      }
      for (const text of ["crowd", "cr", "CROWD1", ""]) {
        const page = (limit: number, offset = 0) => search.search({ text, limit, offset, filters: [] });
        const { userIds, total } = await page(1_000_000);
        assert.equal(userIds.length, Math.min(total, 1_000));
        assert.equal(total, { crowd: 1_100, cr: 1_100, CROWD1: 211, "": 1_100 + corpus.length }[text]);
        const first = await page(0);
        assert.deepEqual(first, { userIds: userIds.slice(0, 50), total });
        assert.deepEqual(await page(7, 49), { userIds: userIds.slice(49, 56), total });
        assert.deepEqual(await page(7, 10_000), { userIds: [], total });
      }
    });

    test("a call that is given up is not carried out", async (t) => {
      const { search } = await openCorpus(t, shared);
      const signal = AbortSignal.abort(new Error("gone"));
      for (const text of ["", "ada"]) {
        await assert.rejects(search.search({ text, limit: 0, offset: 0, filters: [] }, signal), /gone/);
      }
    });
  });
}

async function openCorpus(t: TestContext, shared: SharedDatabase) {
  const { database } = await shared.renew();
  const system = await openLog(t, database);
  const names = new Map<string, string>();
  // Distinct milliseconds would not do: ids of one millisecond are in random order.
  let previous = "";
  for (const [email, fullName, username] of corpus) {
    let account = await createAccount(system, email, fullName);
    while (account.id < previous) {
      await system.accounts.delete(account.id);
      account = await createAccount(system, email, fullName);
    }
    if (username !== undefined) await system.accounts.update(account.id, { username });
    previous = account.id;
    names.set(account.id, email.replace(/@.*/, ""));
  }
  const search = openSearch(t, database);
  const emails = ({ userIds }: Awaited<ReturnType<UserSearch["search"]>>) =>
    userIds.map((id) => names.get(id) ?? id);
  return {
    system,
    search,
    emails,
    find: async (text: string) => emails(await search.search({ text, limit: 0, offset: 0, filters: [] })),
    idOf: (name: string) => [...names].find(([, known]) => known === name)?.[0] ?? "",
  };
}
