/** The head of all that decides who may do what. */
export interface AccessTables {
  access_head: AccessHeadTable;
}

/** One row. */
interface AccessHeadTable {
  revision: bigint;
}
