import { type RawBuilder, sql } from "kysely";
import type { Database, Transaction } from "../../schema.ts";
import type { DocumentPatterns } from "./search-text.ts";

/** A condition on the accounts that are found; all that are given must hold. */
export type SearchFilter = "active" | "inactive" | "superuser" | "has_username";

/** A part of what was found. */
export interface SearchPage {
  readonly limit: number;
  readonly offset: number;
  readonly filters: readonly SearchFilter[];
}

/** The ids of a page in their order, and how many all pages have. */
export interface SearchResult {
  readonly userIds: readonly string[];
  readonly total: number;
}

/** A normalised query with all that a statement needs of it. */
export interface DocumentQuery {
  readonly text: string;
  /** What a document that does not contain the query may resemble instead. */
  readonly guess: string;
  /** Patterns for LIKE. */
  readonly patterns: DocumentPatterns;
  /** Which documents contain the query: `beginning` for one too short for the index to find it elsewhere. */
  readonly contained: "beginning" | "anywhere";
}

/**
 * How similar a document that does not contain the query must be (pg_trgm's word_similarity, from 0 to 1): one
 * letter wrong in a name of eight.
 */
const resemblance = "0.6";

/**
 * How many of those found are ranked: as many as can be asked for, an offset of 10,000 and a limit of 1,000. Beyond
 * that, the order between them is not worth the time.
 */
const rankedAtMost = 11_000;

/** Finds all accounts, by id. */
export async function findEverybody(database: Database, page: SearchPage): Promise<SearchResult> {
  const { rows } = await sql<{ total: number; ids: string[] }>`
    select (select count(*)::float8 from users as account where ${everyFilter(page.filters)}) as total,
      array(
        select account.id from users as account where ${everyFilter(page.filters)}
        order by account.id limit ${page.limit} offset ${page.offset}
      )::text[] as ids`.execute(database);
  return { userIds: rows[0]?.ids ?? [], total: rows[0]?.total ?? 0 };
}

/** Until the transaction ends: compiling a statement (JIT) takes longer than most searches. */
export async function prepareSearch(transaction: Transaction): Promise<void> {
  await sql`select set_config('jit', 'off', true)`.execute(transaction);
}

/**
 * What the statements about resemblance rely on, until the transaction ends: the operator `%>` has its threshold
 * from a setting; and since the planner takes it for as cheap as a comparison, which it is not by far, it would
 * sooner try all documents than use the index.
 */
export async function prepareGuess(transaction: Transaction): Promise<void> {
  await sql`
    select set_config('pg_trgm.word_similarity_threshold', ${resemblance}, true),
      set_config('enable_seqscan', 'off', true)`.execute(transaction);
}

/** Finds the accounts whose document contains the query, the best first. */
export function findContaining(
  transaction: Transaction,
  query: DocumentQuery,
  page: SearchPage,
): Promise<SearchResult> {
  return findRanked(transaction, query, page, contains(query));
}

/** The same, and behind them the accounts whose document only resembles the guess. */
export function findContainingOrResembling(
  transaction: Transaction,
  query: DocumentQuery,
  page: SearchPage,
): Promise<SearchResult> {
  return findRanked(transaction, query, page, sql`(${contains(query)} or ${resembles(query)})`);
}

/** Whether no more documents than so many resemble the guess. It costs no more than to find them. */
export async function isGuessOfAtMost(
  transaction: Transaction,
  query: DocumentQuery,
  limit: number,
): Promise<boolean> {
  const { rows } = await sql<{ resembling: number }>`
    select count(*)::int as resembling
    from (select from user_search as search where ${resembles(query)} limit ${limit + 1}) as guessed`.execute(
    transaction,
  );
  return (rows[0]?.resembling ?? 0) <= limit;
}

function resembles({ guess }: DocumentQuery): RawBuilder<unknown> {
  return sql`search.document %> ${guess}`;
}

function contains({ patterns, contained }: DocumentQuery): RawBuilder<unknown> {
  return sql`search.document like ${patterns[contained]}`;
}

/**
 * One scan counts and finds; the ranking's expensive part, the similarity, is worked out for as many as can be
 * asked for. Ties are in the order of the ids, which is by age.
 */
async function findRanked(
  transaction: Transaction,
  { text, guess, patterns }: DocumentQuery,
  page: SearchPage,
  condition: RawBuilder<unknown>,
): Promise<SearchResult> {
  const { rows } = await sql<{ total: number; ids: string[] }>`
    with found as materialized (
      select search.user_id, case
          when search.document like ${patterns.identity} then 0
          when search.document like ${patterns.beginning} then 1
          when search.document like ${patterns.anywhere} then 2
          else 3
        end as tier
      from user_search as search ${accountsOf(page.filters)}
      where ${condition} and ${everyFilter(page.filters)}
    ), best as (
      select user_id, tier from found order by tier, user_id limit ${rankedAtMost}
    )
    select (select count(*)::float8 from found) as total,
      array(
        select best.user_id from best join user_search as search using (user_id)
        order by best.tier,
          word_similarity(case best.tier when 3 then ${guess} else ${text} end, search.document) desc, best.user_id
        limit ${page.limit} offset ${page.offset}
      )::text[] as ids`.execute(transaction);
  return { userIds: rows[0]?.ids ?? [], total: rows[0]?.total ?? 0 };
}

/** Documents know nothing of filters, so that these are always as new as the users; without any, no join. */
function accountsOf(filters: readonly SearchFilter[]): RawBuilder<unknown> {
  return filters.length === 0 ? sql`` : sql`join users as account on account.id = search.user_id`;
}

const conditions: Readonly<Record<SearchFilter, RawBuilder<unknown>>> = {
  active: sql`account.is_active`,
  inactive: sql`not account.is_active`,
  superuser: sql`account.is_superuser`,
  has_username: sql`account.username is not null`,
};

function everyFilter(filters: readonly SearchFilter[]): RawBuilder<unknown> {
  return filters.length === 0
    ? sql`true`
    : sql.join(
        filters.map((filter) => conditions[filter]),
        sql` and `,
      );
}
