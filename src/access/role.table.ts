/** The tables of the access slice. */
export interface RoleTables {
  roles: RoleTable;
  role_permissions: RolePermissionTable;
  user_roles: UserRoleTable;
}

interface RoleTable {
  name: string;
  description: string;
}

interface RolePermissionTable {
  role: string;
  permission: string;
}

/** The roles that people were given; the implied ones are in no row. */
interface UserRoleTable {
  user_id: string;
  role: string;
}
