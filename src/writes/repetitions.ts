import { type RawBuilder, sql } from "kysely";
import { type CommandOutcome, putOff } from "../platform/group-commit.ts";
import { AnswerKeptError } from "./idempotency.errors.ts";
import type { WriteCaller } from "./write-record.ts";

/** A call that may share a transaction with others. */
interface Call<Result> {
  readonly caller: WriteCaller<Result> | undefined;
}

/** Calls that share a transaction, sorted by their idempotency keys. */
export interface SortedCalls<Shared> {
  /** The first of each key, and all without one, in order. */
  readonly first: readonly Shared[];
  /** The keys of those that have one. */
  readonly keyHashes: readonly Buffer[];
  /** The outcome of each call, in the order in which they came, where that of each in `first` is known. */
  settle<Result extends object>(
    outcomeOf: (call: Shared) => CommandOutcome<Result>,
  ): CommandOutcome<Result>[];
}

/**
 * Takes out of calls that share a transaction those that have the idempotency key of one before them. They would fail
 * the transaction for all; a client that gives each of its calls the same key must not slow the others down.
 */
export function sortByKey<Shared extends Call<never>>(calls: readonly Shared[]): SortedCalls<Shared> {
  const firstOf = new Map<string, Shared>();
  const keyHashes: Buffer[] = [];
  const first = calls.filter((call) => {
    const keyHash = call.caller?.keyHash;
    if (keyHash === undefined) return true;
    const name = nameOf(keyHash);
    if (firstOf.has(name)) return false;
    firstOf.set(name, call);
    keyHashes.push(keyHash);
    return true;
  });
  return {
    first,
    keyHashes,
    settle: (outcomeOf) =>
      calls.map((call) => {
        const keyHash = call.caller?.keyHash;
        const leader = keyHash && firstOf.get(nameOf(keyHash));
        if (leader === undefined || leader === call) return outcomeOf(call);
        const outcome = outcomeOf(leader);
        // Nothing has been kept for a first one that was refused.
        return outcome === putOff || outcome instanceof Error ? putOff : new AnswerKeptError();
      }),
  };
}

/** How {@link findKeptKeys} and others name a key. */
export function nameOf(keyHash: Buffer): string {
  return keyHash.toString("base64");
}

/** SQL for the names of those keys for which an answer is kept: a JSON array, or null where there are none. */
export function findKeptKeys(keyHashes: readonly Buffer[]): RawBuilder<unknown> {
  const names = JSON.stringify(keyHashes.map(nameOf));
  return sql`(select json_agg(encode(key_hash, 'base64')) from idempotency_keys where key_hash = any(array(
    select decode(json_array_elements_text(${names}::json), 'base64'))))`;
}

/**
 * SQL that holds where no answer is kept for the column `key_hash`, which may be null. A scalar subquery, since a join
 * might be planned as a scan of all keys.
 */
export const isKeyFree: RawBuilder<unknown> = sql.raw(`
  case when key_hash is null then true else (
    select kept.key_hash from idempotency_keys as kept where kept.key_hash = decode(given.key_hash, 'base64')
  ) is null end`);
