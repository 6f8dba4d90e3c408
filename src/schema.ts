import type { Kysely, Transaction as KyselyTransaction } from "kysely";
import type { AccessTables } from "./access/access.table.ts";
import type { RoleTables } from "./access/role.table.ts";
import type { ApiKeyTables } from "./api-keys/api-key.table.ts";
import type { AuditTables } from "./audit/audit.table.ts";
import type { TokenTables } from "./auth/auth.table.ts";
import type { LoginTables } from "./auth/login.table.ts";
import type { EventTables } from "./events/event.table.ts";
import type { ProfileTables } from "./profiles/profile.table.ts";
import type { SearchTables } from "./profiles/search/search.table.ts";
import type { UserTables } from "./users/user.table.ts";

/** All tables: the sum of what the slices own. */
export interface Schema
  extends UserTables,
    EventTables,
    TokenTables,
    LoginTables,
    RoleTables,
    AccessTables,
    ApiKeyTables,
    ProfileTables,
    SearchTables,
    AuditTables {}

/** The database as the slices see it. */
export type Database = Kysely<Schema>;

/** An open transaction. A repository function that writes takes one, so that it cannot be called outside. */
export type Transaction = KyselyTransaction<Schema>;
