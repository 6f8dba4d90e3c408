import { type Kysely, sql } from "kysely";

/** What slows down logins that fail. docs/logins.md says how. */
export async function up(database: Kysely<unknown>): Promise<void> {
  // Unlogged: what is lost in a crash are some counts of failures, and no attempt waits for the disk.
  await sql`
    create unlogged table login_attempts (
      key text primary key,
      failures integer not null,
      blocked_until_ms bigint not null,
      expires_at_ms bigint not null
    )`.execute(database);
  await sql`create index login_attempts_expiry on login_attempts (expires_at_ms)`.execute(database);
  await sql`
    create table login_addresses (
      account_key text not null,
      address_key text not null,
      seen_at_ms bigint not null,
      primary key (account_key, address_key)
    )`.execute(database);
  await sql`create index login_addresses_age on login_addresses (seen_at_ms)`.execute(database);
  await createBeginFunction(database);
}

/**
 * Counts an attempt under the key of each rule, or, where one of them is blocked, under none and says until when. At
 * an address from which the account has been logged in to before, general rules do not count.
 *
 * A function, because that is one decision over several rows that parallel attempts must take one after the other,
 * and between several statements of a client the rows would stay locked while it is busy with other things. Each of
 * its statements sees what has been committed before it.
 */
async function createBeginFunction(database: Kysely<unknown>): Promise<void> {
  await sql`
    create function begin_login_attempt(
      rules json, account_key text, address_key text, at_ms bigint, known_since_ms bigint
    )
    returns table (key text, is_counted boolean, blocked_until_ms bigint, blocked_before_ms bigint)
    language plpgsql as $$
    #variable_conflict use_column
    declare
      refused_until_ms bigint;
    begin
      if exists (
        select from login_addresses as known
        where known.account_key = begin_login_attempt.account_key
          and known.address_key = begin_login_attempt.address_key and known.seen_at_ms > known_since_ms
      ) then
        rules := (
          select json_agg(rule) from json_array_elements(rules) as rule
          where not (rule->>'is_general')::boolean);
      end if;

      -- Without a lock first: a refusal is to cost as little as can be.
      for look in 1..2 loop
        refused_until_ms := (
          select max(present.blocked_until_ms) from login_attempts as present
          where present.key in (select rule->>'key' from json_array_elements(rules) as rule)
            and present.blocked_until_ms > at_ms);
        if refused_until_ms is not null then
          return query select null::text, false, refused_until_ms, null::bigint;
          return;
        end if;
        if look = 1 then
          -- Locks the rows, also those that it does not change, in the order of their keys, so that attempts never
          -- wait for each other in a circle. What has expired begins anew.
          insert into login_attempts as present (key, failures, blocked_until_ms, expires_at_ms)
          select rule.key, 0, 0, at_ms + rule.memory_ms
          from json_to_recordset(rules) as rule(key text, memory_ms bigint)
          order by rule.key
          on conflict (key) do update
            set failures = 0, blocked_until_ms = 0, expires_at_ms = excluded.expires_at_ms
            where present.expires_at_ms <= at_ms;
        end if;
      end loop;

      return query
        update login_attempts as present set
          failures = present.failures + 1,
          blocked_until_ms = case
            when present.failures + 1 < rule.free then present.blocked_until_ms
            else at_ms + least(rule.longest_ms,
              (rule.shortest_ms * power(2, least(present.failures + 1 - rule.free, 30)))::bigint) end,
          expires_at_ms = at_ms + rule.memory_ms
        from json_to_recordset(rules)
            as rule(key text, free integer, shortest_ms bigint, longest_ms bigint, memory_ms bigint),
          login_attempts as before
        where present.key = rule.key and before.key = rule.key
        returning present.key, true, present.blocked_until_ms, before.blocked_until_ms;
    end $$`.execute(database);
}
