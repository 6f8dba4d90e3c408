import { type Kysely, sql } from "kysely";

/** What is kept with a write, in its own transaction: who did it, and the answer that a repetition gets. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table audit_log (
      id bigint generated always as identity,
      occurred_at timestamptz not null,
      actor text not null,
      credential text not null,
      procedure text not null,
      subject text not null,
      outcome text not null,
      reason text not null,
      address text not null,
      request_id text not null,
      calls bigint not null default 1,
      primary key (occurred_at, id)
    )`.execute(database);
  // A page is read newest first, whatever it is filtered by. Nearly all entries are of what was done.
  await sql`create index audit_log_actor on audit_log (actor, occurred_at, id)`.execute(database);
  await sql`create index audit_log_subject on audit_log (subject, occurred_at, id)`.execute(database);
  // Registrations come by thousands a second: whoever lists them reads the newest entries, and finds them there.
  await sql`
    create index audit_log_procedure on audit_log (procedure, occurred_at, id)
    where procedure <> 'users.v1.UserService/RegisterUser'`.execute(database);
  await sql`
    create index audit_log_refusals on audit_log (outcome, occurred_at, id) where outcome <> 'OK'`.execute(
    database,
  );
  await sql`
    create table idempotency_keys (
      key_hash bytea primary key,
      request_mac bytea not null,
      sealed_answer bytea not null,
      created_at timestamptz not null
    )`.execute(database);
  await sql`create index idempotency_keys_age on idempotency_keys (created_at)`.execute(database);
}
