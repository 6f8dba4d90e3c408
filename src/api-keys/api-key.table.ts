import type { ColumnType } from "kysely";

/** The table of the API keys. */
export interface ApiKeyTables {
  api_keys: ApiKeyTable;
}

interface ApiKeyTable {
  id: string;
  /** SHA-256 of the key. */
  hash: Uint8Array;
  display: string;
  name: string;
  scopes: ColumnType<string[], string, never>;
  created_at: Date;
  created_by: string;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
  replaces: string | null;
}
