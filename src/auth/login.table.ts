/** The tables that slow logins down. Keys are hashes, times milliseconds since 1970. */
export interface LoginTables {
  login_attempts: LoginAttemptTable;
  login_addresses: LoginAddressTable;
}

interface LoginAttemptTable {
  key: string;
  failures: number;
  blocked_until_ms: bigint;
  expires_at_ms: bigint;
}

interface LoginAddressTable {
  account_key: string;
  address_key: string;
  seen_at_ms: bigint;
}
