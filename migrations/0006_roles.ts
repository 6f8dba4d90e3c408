import { type Kysely, sql } from "kysely";

/**
 * Roles, what they permit and who has them. The checks repeat the domain's rules. The two built-in roles are in
 * nobody's rows: everybody has `user`, and who has `admin` is a column of the users.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    create table roles (
      name text primary key
        constraint roles_name_rule check (name ~ '^[a-z][a-z0-9_-]{0,49}$'),
      description text not null
        constraint roles_description_length check (length(description) <= 500)
    )`.execute(database);
  await sql`
    create table role_permissions (
      role text not null references roles (name) on update cascade on delete cascade,
      permission text not null
        constraint role_permissions_rule
          check (permission ~ '^[a-z][a-z0-9_-]{0,49}([.:][a-z0-9_-]{1,50}){0,3}$'),
      primary key (role, permission)
    )`.execute(database);
  await sql`
    create table user_roles (
      user_id uuid not null references users (id) on delete cascade,
      role text not null references roles (name) on update cascade on delete cascade
        constraint user_roles_not_implied check (role not in ('user', 'admin')),
      primary key (user_id, role)
    )`.execute(database);
  // A role's holders, in the order in which they are locked when it is deleted.
  await sql`create index user_roles_role on user_roles (role, user_id)`.execute(database);
  await sql`
    insert into roles (name, description) values
      ('user', 'Everybody has it.'),
      ('admin', 'Every superuser has it.')`.execute(database);
  await sql`
    insert into role_permissions (role, permission) values
      ('user', 'read'), ('admin', 'write'), ('admin', 'delete')`.execute(database);
}
