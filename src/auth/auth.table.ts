import type { ColumnType } from "kysely";
import type { PublicJwk } from "./signing-key.ts";

/** The tables of signing keys and refresh tokens. */
export interface TokenTables {
  signing_keys: SigningKeyTable;
  refresh_token_families: RefreshTokenFamilyTable;
  refresh_tokens: RefreshTokenTable;
}

interface SigningKeyTable {
  kid: string;
  public_jwk: ColumnType<PublicJwk, string, never>;
  sealed_private_key: Uint8Array;
  created_at: Date;
  signs_from: Date;
  retires_at: Date | null;
}

interface RefreshTokenFamilyTable {
  id: string;
  user_id: string;
  /** The account's when the family began. */
  token_epoch: number;
  created_at: Date;
  /** That of its newest token. */
  expires_at: Date;
  revoked_at: Date | null;
}

interface RefreshTokenTable {
  /** SHA-256 of the token. */
  hash: Uint8Array;
  family_id: string;
  expires_at: Date;
  used_at: Date | null;
}
