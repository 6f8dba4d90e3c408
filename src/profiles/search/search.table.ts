/** The tables of the search, a projection of the event log. */
export interface SearchTables {
  user_search: UserSearchTable;
  search_head: SearchHeadTable;
}

interface UserSearchTable {
  user_id: string;
  /** See toSearchDocument. */
  document: string;
}

/** The projection's one row of state. */
interface SearchHeadTable {
  only_row: boolean;
  /** The log that the revision is of; null where nothing has been indexed yet. */
  database_id: string | null;
  /** Every event up to this one has been applied. */
  revision: bigint;
  /** While the index is being rebuilt: users behind this one may be missing or outdated. */
  rebuilt_to: string | null;
}
