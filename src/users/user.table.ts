import type { Generated } from "kysely";

/** The tables of the users slice. */
export interface UserTables {
  users: UserTable;
  user_passwords: UserPasswordTable;
}

interface UserTable {
  id: string;
  email: string;
  /** Null until one is set. */
  username: string | null;
  is_active: boolean;
  created_at: Date;
  full_name: Generated<string>;
  is_superuser: Generated<boolean>;
  /** Null as long as nothing has changed. */
  updated_at: Date | null;
  token_epoch: Generated<number>;
}

interface UserPasswordTable {
  user_id: string;
  /** In the PHC string format. */
  hash: string;
  changed_at: Date;
}
