/** The tables of the users slice. */
export interface UserTables {
  users: UserTable;
}

interface UserTable {
  id: string;
  email: string;
  username: string;
  is_active: boolean;
  created_at: Date;
}
