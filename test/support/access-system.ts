import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { sql } from "kysely";
import { createRoleService, type RoleService } from "../../src/access/role.service.ts";
import type { DatabaseConfig } from "../../src/platform/config.ts";
import type { Database } from "../../src/schema.ts";
import { type EventSystem, openLog, openProcess } from "./event-system.ts";
import type { SharedDatabase } from "./shared-database.ts";

/** The log, the users and the roles of one process, without its port. */
export interface AccessSystem extends EventSystem {
  readonly roles: RoleService;
  /** A user of no particular name. @returns the id */
  addUser(isSuperuser?: boolean): Promise<string>;
}

/** Systems on one fresh database, which has the built-in roles only: on PostgreSQL each is a process's. */
export async function openAccessSystems(
  t: TestContext,
  shared: SharedDatabase,
  count: number,
  deletionStep?: number,
): Promise<[AccessSystem, ...AccessSystem[]]> {
  const { config, database } = await shared.renew();
  await removeRoles(database);
  await sql`truncate role_changes, event_transactions`.execute(database);
  const open = async (): Promise<AccessSystem> =>
    addRoles(await openSystem(t, config, database), deletionStep);
  const first = await open();
  const others: AccessSystem[] = [];
  while (others.length < count - 1) others.push(await open());
  return [first, ...others];
}

function openSystem(t: TestContext, config: DatabaseConfig, database: Database): Promise<EventSystem> {
  return config.kind === "postgres" ? openProcess(t, config) : openLog(t, database);
}

function addRoles(system: EventSystem, deletionStep?: number): AccessSystem {
  const { database, log, accounts } = system;
  const roles = createRoleService({
    database,
    log,
    now: () => new Date(),
    ...(deletionStep !== undefined && { deletionStep }),
  });
  return {
    ...system,
    roles,
    async addUser(isSuperuser = false) {
      const { id } = await accounts.create({
        email: `${crypto.randomUUID()}@example.com`,
        fullName: "",
        isActive: true,
        isSuperuser,
        passwordHash: "none that anything could match",
      });
      return id;
    },
  };
}

async function removeRoles(database: Database): Promise<void> {
  await sql`delete from roles where name not in ('user', 'admin')`.execute(database);
  await sql`delete from role_permissions
    where (role, permission) not in (('user', 'read'), ('admin', 'write'), ('admin', 'delete'))`.execute(
    database,
  );
}

/** Lets the database itself note in which transaction a user's roles changed, and in which an event was appended. */
export async function auditRoles(database: Database): Promise<void> {
  await sql`create table role_changes (transaction xid8, user_id uuid)`.execute(database);
  await sql`create table event_transactions (transaction xid8, user_id uuid, type text)`.execute(database);
  await sql`
    create function note_role_change() returns trigger language plpgsql as $$
    begin
      insert into role_changes values (pg_current_xact_id(), coalesce(new.user_id, old.user_id));
      return null;
    end $$`.execute(database);
  await sql`
    create trigger note_role_change after insert or update or delete on user_roles
    for each row execute function note_role_change()`.execute(database);
  await sql`
    create function note_event() returns trigger language plpgsql as $$
    begin
      insert into event_transactions values (pg_current_xact_id(), new.user_id, new.type);
      return null;
    end $$`.execute(database);
  await sql`
    create trigger note_event after insert on user_events
    for each row execute function note_event()`.execute(database);
}

/**
 * Checks that each change of a user's roles has exactly one event `user_updated` in its own transaction, and that
 * there is no other: whoever was deleted lost the roles along with everything else. (No test changes users otherwise.)
 */
export async function checkRoleEvents(database: Database): Promise<void> {
  const { rows } = await sql<{ changes: string[]; updates: string[] }>`
    select
      array(
        select change.transaction || ' ' || change.user_id from role_changes as change
        where not exists (
          select from event_transactions as event
          where event.transaction = change.transaction and event.user_id = change.user_id
            and event.type = 'user_deleted'
        ) order by 1
      ) as changes,
      array(
        select event.transaction || ' ' || event.user_id from event_transactions as event
        where event.type = 'user_updated' order by 1
      ) as updates`.execute(database);
  assert.deepEqual(rows[0]?.updates, rows[0]?.changes, "the events are not the changes of roles");
}

/** The types of the events of a user, or of all, in order. */
export async function readEventTypes(database: Database, userId?: string): Promise<string[]> {
  const { rows } = await sql<{ type: string }>`
    select type from user_events where ${userId ?? null}::uuid is null or user_id = ${userId ?? null}::uuid
    order by revision`.execute(database);
  return rows.map((row) => row.type);
}
