import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { normalizeSearchText } from "../src/profiles/search/search-text.ts";
import type { SearchFilter, UserSearch } from "../src/profiles/search/user-search.ts";
import type { Account } from "../src/users/account.ts";
import { backends } from "./support/databases.ts";
import { type EventSystem, openLog, openProcess } from "./support/event-system.ts";
import { createAccount, openSearch } from "./support/search-system.ts";
import { type SeededRandom, withSeed } from "./support/seeded-random.ts";
import { useDatabase } from "./support/shared-database.ts";

/** TEST_SCALE=10 runs everything ten times as long. */
const scale = Number(process.env["TEST_SCALE"] ?? 1);

/** So small a vocabulary that searches find some, and what is awkward for LIKE, for trigrams and for case. */
const syllables = [
  ...["an", "na", "AD", "Ma", "ri", "jo", "é", "Ü", "ß", "Σ", "ς", "Ки", "РА", "漢", "字", "タ", "ﬁ"],
  ...["%", "_", "\\", " ", "  ", "'", "-", ".", "\u0307", "🙂", "İ"],
] as const;

/** What an email or a username may have of these. */
const plainSyllables = ["an", "na", "ad", "ma", "ri", "jo", "_x"] as const;

const everyFilter = ["active", "inactive", "superuser", "has_username"] as const;

for (const backend of backends) {
  describe(`searching users against a model on the ${backend.name} database`, () => {
    const shared = useDatabase(backend);

    test("every account that contains the text is found, in front, once, as it is now", async (t) => {
      const { config, database } = await shared.renew();
      const system = await openLog(t, database);
      const other = config.kind === "postgres" ? (await openProcess(t, config)).database : database;
      const replicas = [openSearch(t, database, 7), openSearch(t, other, 3)] as const;
      await withSeed(async (random) => {
        const model = new Map<string, Account>();
        for (let round = 0; round < 30 * scale; round++) {
          await Promise.all([
            ...Array.from({ length: random.integer(1, 8) }, () => change(random.fork(), system, model)),
            // What these find depends on the interleaving; that they end well does not.
            ...replicas.map((search) => search.search(drawRequest(random))),
          ]);
          for (let searches = 0; searches < 4; searches++) {
            await checkSearch(random, random.pick(replicas), model);
          }
        }
      });
    });
  });
}

/** Makes a change, here and in the model. Names that collide are refused, which changes neither. */
async function change(random: SeededRandom, system: EventSystem, model: Map<string, Account>): Promise<void> {
  const id = random.pickAny([...model.keys()]);
  const kind = random.pick(["create", "create", "register", "rename", "flags", "flags", "delete"] as const);
  const email = `${drawText(random, plainSyllables)}@example.org`;
  const username = `u${drawText(random, plainSyllables)}z`;
  const fullName = drawText(random, syllables);
  try {
    if (kind === "register") {
      const user = await system.users.register({ email, username });
      model.set(user.id, await system.accounts.get(user.id));
    } else if (kind === "create" || id === undefined) {
      const account = await createAccount(system, email, fullName);
      model.set(account.id, account);
    } else if (kind === "delete") {
      // Taken out first: another change of this round could otherwise put it back.
      model.delete(id);
      await system.accounts.delete(id);
    } else {
      const wanted =
        kind === "rename"
          ? { fullName, ...(random.oneIn(2) && { email }), ...(random.oneIn(2) && { username }) }
          : { isActive: random.oneIn(2), isSuperuser: random.oneIn(3) };
      await system.accounts.update(id, wanted);
      // Two changes of one account are made in some order: the database says in which.
      const now = await system.accounts.get(id);
      if (model.has(id)) model.set(id, now);
    }
  } catch (error) {
    const { name } = error as Error;
    if (!["EmailTakenError", "UsernameTakenError", "UserNotFoundError"].includes(name)) throw error;
  }
}

async function checkSearch(
  random: SeededRandom,
  search: UserSearch,
  model: ReadonlyMap<string, Account>,
): Promise<void> {
  const request = drawRequest(random);
  const { userIds, total } = await search.search({ ...request, limit: 1_000, offset: 0 });
  const about = JSON.stringify(request);
  assert.equal(total, userIds.length, about);
  assert.equal(new Set(userIds).size, total, about);

  const passing = [...model.values()].filter((account) => request.filters.every((f) => holds(f, account)));
  const containing = passing.filter((account) => contains(account, request.text)).map(({ id }) => id);
  assert.deepEqual(new Set(userIds.slice(0, containing.length)), new Set(containing), about);
  const passingIds = new Set(passing.map(({ id }) => id));
  assert.deepEqual(
    userIds.filter((id) => !passingIds.has(id)),
    [],
    about,
  );

  const pages: string[] = [];
  const limit = random.integer(Math.max(1, Math.ceil(total / 4)), total + 1);
  for (let offset = 0; offset <= total; offset += limit) {
    const page = await search.search({ ...request, limit, offset });
    assert.equal(page.total, total, about);
    pages.push(...page.userIds);
  }
  assert.deepEqual(pages, userIds, about);
}

function drawRequest(random: SeededRandom) {
  return {
    text: random.oneIn(8) ? "" : drawText(random, random.oneIn(3) ? plainSyllables : syllables),
    limit: 0,
    offset: 0,
    filters: everyFilter.filter(() => random.oneIn(5)),
  };
}

function drawText(random: SeededRandom, parts: readonly string[]): string {
  return Array.from({ length: random.integer(1, 4) }, () => random.pickAny(parts)).join("");
}

/** In a field, or where the text is short, at the beginning of a field or of a word behind a space. */
function contains(account: Account, text: string): boolean {
  const wanted = normalizeSearchText(text);
  const isShort = [...wanted].length < 3;
  return [account.fullName, account.email, account.username]
    .map(normalizeSearchText)
    .some((field) =>
      wanted === "" || !isShort ? field.includes(wanted) : ` ${field}`.includes(` ${wanted}`),
    );
}

function holds(filter: SearchFilter, account: Account): boolean {
  switch (filter) {
    case "active":
      return account.isActive;
    case "inactive":
      return !account.isActive;
    case "superuser":
      return account.isSuperuser;
    case "has_username":
      return account.username !== "";
  }
}
