import assert from "node:assert/strict";
import { sql } from "kysely";
import type { Database } from "../../src/schema.ts";
import { type PlainEvent, type PlainUser, toPlainUser } from "./log-access.ts";

/** All events there ever were, in revision order: the one of revision n is at index n - 1. */
export type WholeLog = readonly PlainEvent[];

/**
 * Lets the database itself copy each event into a table that retention does not know, so that a test can
 * compare what was streamed with what was once there. A copy is part of the writing transaction; truncating
 * the log empties the archive.
 */
export async function archiveEvents(database: Database): Promise<void> {
  await sql`create table archived_events (like user_events)`.execute(database);
  await sql`
    create function archive_event() returns trigger language plpgsql as $$
    begin
      insert into archived_events select new.*;
      return null;
    end $$`.execute(database);
  await sql`
    create trigger archive_event after insert on user_events
    for each row execute function archive_event()`.execute(database);
  await sql`
    create function empty_archive() returns trigger language plpgsql as $$
    begin
      truncate archived_events;
      return null;
    end $$`.execute(database);
  await sql`
    create trigger empty_archive after truncate on user_events
    for each statement execute function empty_archive()`.execute(database);
}

/** Revision of the newest event, and of the newest that retention removed. */
export function readHead(database: Database): Promise<{ revision: bigint; floor: bigint }> {
  return database.selectFrom("stream_head").select(["revision", "floor"]).executeTakeFirstOrThrow();
}

/**
 * Reads the archive and checks that it and the log's own table are what they must be: revisions dense from 1 to
 * the head, ids unique, and in the table exactly what retention has not removed.
 */
export async function readWholeLog(database: Database): Promise<WholeLog> {
  const head = await readHead(database);
  const archived = await readTable(database, "archived_events");
  assert.deepEqual(
    archived.map((row) => row.revision),
    Array.from({ length: Number(head.revision) }, (_, index) => BigInt(index) + 1n),
    "revisions are not dense from 1 to the head",
  );
  assert.equal(new Set(archived.map((row) => row.event.id)).size, archived.length, "an event id came twice");
  assert.deepEqual(
    await readTable(database, "user_events"),
    archived.filter((row) => row.revision > head.floor),
    "the table is not what is above the floor",
  );
  return archived.map((row) => row.event);
}

interface StoredRow {
  revision: bigint;
  id: string;
  type: string;
  payload: Omit<PlainUser, "isActive" | "createdAt"> & { is_active: boolean; created_at: string };
  occurred_at: Date;
}

async function readTable(database: Database, table: "archived_events" | "user_events") {
  const { rows } = await sql<StoredRow>`
    select revision, id, type, payload, occurred_at from ${sql.table(table)} order by revision`.execute(
    database,
  );
  return rows.map(({ revision, id, type, payload, occurred_at }) => {
    const { is_active: isActive, created_at: createdAt, ...names } = payload;
    const user = { id: names.id, email: names.email, username: names.username, isActive, createdAt };
    return { revision, event: { id, type, user, occurredAt: occurred_at.toISOString() } };
  });
}

/** All users, by id. */
export async function readUsers(database: Database): Promise<PlainUser[]> {
  const rows = await database.selectFrom("users").selectAll().orderBy("id").execute();
  return rows.map((row) =>
    toPlainUser({
      id: row.id,
      email: row.email,
      username: row.username ?? "",
      isActive: row.is_active,
      createdAt: row.created_at,
    }),
  );
}

/**
 * Replays events from the log's beginning and checks that each is a step that can be taken from the state
 * before it, and changes it: a call that changes nothing appends nothing.
 *
 * @returns the users that the events leave, by id
 */
export function replay(events: WholeLog): PlainUser[] {
  const users = new Map<string, PlainUser>();
  for (const [index, { type, user }] of events.entries()) {
    const before = users.get(user.id);
    const step = `revision ${index + 1}, ${type} of ${user.id}`;
    if (type === "user_registered") {
      assert.equal(before, undefined, `${step}: exists already`);
      assert.equal(user.isActive, true, step);
      users.set(user.id, user);
      continue;
    }
    assert.ok(before, `${step}: does not exist`);
    if (type === "user_deleted") {
      assert.deepEqual(user, before, `${step}: is not the user as it last was`);
      users.delete(user.id);
      continue;
    }
    const { email, username } = user;
    const after =
      type === "user_updated"
        ? { ...before, email, username }
        : { ...before, isActive: type === "user_activated" };
    assert.deepEqual(user, after, `${step}: changes what it should not`);
    assert.notDeepEqual(user, before, `${step}: changes nothing`);
    users.set(user.id, user);
  }
  return [...users.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
}
