import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../../platform/logger.ts";
import { isStorableText } from "../../platform/storable-text.ts";
import { inTransaction } from "../../platform/transaction.ts";
import type { Database, Transaction } from "../../schema.ts";
import { createSearchIndex, type SearchIndex } from "./search-index.ts";
import {
  type DocumentQuery,
  findContaining,
  findContainingOrResembling,
  findEverybody,
  isGuessOfAtMost,
  prepareGuess,
  prepareSearch,
  type SearchFilter,
  type SearchPage,
  type SearchResult,
} from "./search-query.repository.ts";
import { normalizeSearchText, toDocumentPatterns } from "./search-text.ts";

export type { SearchFilter, SearchResult } from "./search-query.repository.ts";

/** Whom to find. */
export interface SearchRequest {
  /** Empty (or nothing but space) finds everybody, by id. */
  readonly text: string;
  /** 0 means 50; more than 1,000 means 1,000. */
  readonly limit: number;
  /** From 0 to 10,000. */
  readonly offset: number;
  /** All must hold. */
  readonly filters: readonly SearchFilter[];
}

/** Finds accounts by name, email and username. docs/search.md says who is found, and in which order. */
export interface UserSearch {
  /**
   * Finds a page, with every change that was committed before the call. A signal that aborts ends the call
   * before the next of its steps.
   *
   * @throws DatabaseUnavailableError after it was closed; the signal's reason
   */
  search(request: SearchRequest, signal?: AbortSignal): Promise<SearchResult>;
  /** Stops following the log. */
  close(): Promise<void>;
}

/** What the search is made of. */
export interface UserSearchDependencies {
  readonly database: Database;
  readonly logger: Logger;
  /** How long the index may lie behind while nobody searches. */
  readonly followIntervalMs?: number;
  /** How many events or users one transaction indexes; tests make it small. */
  readonly stepSize?: number;
}

const defaultLimit = 50;
const maxLimit = 1_000;

/** Three characters make a trigram: of fewer the index finds only those that begin a word. */
const trigramLength = 3;
/** What is shorter has so few trigrams that what resembles it is nearly only what contains it. */
const shortestGuess = 4;
/** Who has found so many accounts that contain the query needs no guesses. */
const enoughToFind = 100;
/** What resembles so many accounts is a guess at none of them, such as half of everybody's email. */
const maxGuesses = 10_000;

/** Creates the search, which begins to follow the log in the background at once. */
export function createUserSearch(dependencies: UserSearchDependencies): UserSearch {
  const { database, logger, followIntervalMs = 5_000, stepSize } = dependencies;
  const index = createSearchIndex(database, stepSize);
  const stopFollowing = followLog(index, followIntervalMs, logger);

  return {
    async search({ text, limit, offset, filters }, signal) {
      signal?.throwIfAborted();
      const page = { limit: limit === 0 ? defaultLimit : Math.min(limit, maxLimit), offset, filters };
      if (!isStorableText(text) || isContradiction(filters)) {
        return { userIds: [], total: 0 };
      }
      const query = normalizeSearchText(text);
      if (query === "") {
        return findEverybody(database, page);
      }
      await index.catchUp(signal);
      return inTransaction(
        database,
        (transaction) => findMatching(transaction, toDocumentQuery(query), page),
        signal,
      );
    },
    async close() {
      index.close();
      await stopFollowing();
    },
  };
}

function isContradiction(filters: readonly SearchFilter[]): boolean {
  return filters.includes("active") && filters.includes("inactive");
}

function toDocumentQuery(text: string): DocumentQuery {
  return {
    text,
    // Everybody at one provider resembles everybody else there.
    guess: text.replace(/@.*/, ""),
    patterns: toDocumentPatterns(text),
    contained: lengthOf(text) < trigramLength ? "beginning" : "anywhere",
  };
}

async function findMatching(
  transaction: Transaction,
  query: DocumentQuery,
  page: SearchPage,
): Promise<SearchResult> {
  await prepareSearch(transaction);
  const containing = await findContaining(transaction, query, page);
  if (containing.total >= enoughToFind || lengthOf(query.guess) < shortestGuess) {
    return containing;
  }
  await prepareGuess(transaction);
  return (await isGuessOfAtMost(transaction, query, maxGuesses))
    ? findContainingOrResembling(transaction, query, page)
    : containing;
}

/** In characters, not in UTF-16's units. */
function lengthOf(text: string): number {
  return [...text].length;
}

/** Keeps the index near the log's end, so that a search has little left to do. */
function followLog(index: SearchIndex, intervalMs: number, logger: Logger): () => Promise<void> {
  const closing = new AbortController();

  async function run(): Promise<void> {
    for (;;) {
      // First of all: a process that has just started has better things to do.
      await delay(intervalMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
      if (closing.signal.aborted) return;
      try {
        await index.catchUpAtLeisure();
      } catch (error) {
        if (!closing.signal.aborted) logger.warn({ err: error }, "the search index could not catch up");
      }
    }
  }

  const running = run();
  return async () => {
    closing.abort();
    await running;
  };
}
