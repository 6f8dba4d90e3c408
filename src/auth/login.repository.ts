import { sql } from "kysely";
import type { Database } from "../schema.ts";
import type { LoginKeys } from "./login-keys.ts";
import type { LoginRule, LoginRules } from "./login-rules.ts";

/** What counting an attempt has done to one row; times are milliseconds since 1970. */
export interface CountedRow {
  readonly key: string;
  readonly blockedUntilMs: number;
  readonly blockedBeforeMs: number;
}

/** An attempt that has been counted, or until when none is let through. */
export type BeginOutcome =
  | { readonly kind: "counted"; readonly rows: readonly CountedRow[] }
  | { readonly kind: "refused"; readonly untilMs: number };

/** Counts an attempt, or refuses it and counts nothing: one decision, whatever happens at the same time. */
export async function beginAttempt(
  database: Database,
  keys: LoginKeys,
  rules: LoginRules,
  nowMs: number,
): Promise<BeginOutcome> {
  const given = JSON.stringify([
    toRow(keys.accountAtAddress, rules.accountAtAddress, false),
    toRow(keys.address, rules.address, true),
    toRow(keys.account, rules.account, true),
  ]);
  const { rows } = await sql<CountedRow & { isCounted: boolean }>`
    select key, is_counted as "isCounted", blocked_until_ms::float8 as "blockedUntilMs",
      blocked_before_ms::float8 as "blockedBeforeMs"
    from begin_login_attempt(${given}::json, ${keys.account}, ${keys.address}, ${nowMs}::bigint,
      ${nowMs - rules.knownAddressMs}::bigint)`.execute(database);
  const refusal = rows.find((row) => !row.isCounted);
  return refusal === undefined
    ? { kind: "counted", rows: rows.map(({ isCounted, ...row }) => row) }
    : { kind: "refused", untilMs: refusal.blockedUntilMs };
}

function toRow(key: string, { free, shortestMs, longestMs, memoryMs }: LoginRule, isGeneral: boolean) {
  return {
    key,
    is_general: isGeneral,
    free,
    shortest_ms: shortestMs,
    longest_ms: longestMs,
    memory_ms: memoryMs,
  };
}

/**
 * Takes an attempt back, as if it had never been: a wait that nobody else has changed since is what it was before.
 *
 * @param forgottenKey of this key, all other failures are forgotten, too
 */
export async function takeBackAttempt(
  database: Database,
  rows: readonly CountedRow[],
  forgottenKey?: string,
): Promise<void> {
  const given = rows.map(({ key, blockedUntilMs, blockedBeforeMs }) => ({
    key,
    until_ms: blockedUntilMs,
    before_ms: blockedBeforeMs,
    is_forgotten: key === forgottenKey,
  }));
  // Locked in the order in which attempts lock them.
  await sql`
    with given as materialized (
      select * from json_to_recordset(${JSON.stringify(given)}::json)
        as given(key text, until_ms bigint, before_ms bigint, is_forgotten boolean)
    ), held as materialized (
      select key from login_attempts where key in (select key from given) order by key for update
    )
    update login_attempts as present set
      failures = case when given.is_forgotten then 0 else greatest(present.failures - 1, 0) end,
      blocked_until_ms = case
        when given.is_forgotten then 0
        when present.blocked_until_ms = given.until_ms then given.before_ms
        else present.blocked_until_ms end
    from given join held using (key)
    where present.key = given.key`.execute(database);
}

/** A login from an address is written down anew after this long: each would otherwise be a write. */
const rememberAgainMs = 24 * 3_600_000;

/** Remembers that an account has been logged in to from an address. @returns whether it was new there */
export async function rememberAddress(
  database: Database,
  { account, address }: LoginKeys,
  nowMs: number,
): Promise<boolean> {
  const { rows } = await sql<{ isNew: boolean }>`
    insert into login_addresses as known (account_key, address_key, seen_at_ms)
    values (${account}, ${address}, ${nowMs}::bigint)
    on conflict (account_key, address_key) do update set seen_at_ms = excluded.seen_at_ms
      where known.seen_at_ms < excluded.seen_at_ms - ${rememberAgainMs}::bigint
    returning xmax = 0 as "isNew"`.execute(database);
  return rows[0]?.isNew ?? false;
}

/** Forgets an account's addresses that have gone unused for longest, all but so many. */
export async function forgetAddressesBeyond(
  database: Database,
  { account }: LoginKeys,
  maxAddresses: number,
): Promise<void> {
  // Who else deletes the same rows need not be waited for.
  await sql`
    with old as materialized (
      select address_key from login_addresses where account_key = ${account}
      order by seen_at_ms desc, address_key offset ${maxAddresses}::int for update skip locked
    )
    delete from login_addresses as present using old
    where present.account_key = ${account} and present.address_key = old.address_key`.execute(database);
}

/**
 * Deletes counts that have expired. (What is to be deleted is chosen once, in a relation of its own: a plan may run a
 * subquery with a limit several times, and delete so many more.)
 *
 * @returns how many
 */
export async function deleteExpiredAttempts(
  database: Database,
  nowMs: number,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    with expired as materialized (
      select key from login_attempts where expires_at_ms <= ${nowMs}::bigint
      limit ${limit}::int for update skip locked
    )
    delete from login_attempts as present using expired where present.key = expired.key`.execute(database);
  return Number(numAffectedRows);
}

/** Deletes addresses that no login has come from since. @returns how many */
export async function deleteAddressesBefore(
  database: Database,
  sinceMs: number,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    with old as materialized (
      select account_key, address_key from login_addresses where seen_at_ms <= ${sinceMs}::bigint
      limit ${limit}::int for update skip locked
    )
    delete from login_addresses as present using old
    where present.account_key = old.account_key and present.address_key = old.address_key`.execute(database);
  return Number(numAffectedRows);
}
