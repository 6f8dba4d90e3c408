import { validate as isUuid } from "uuid";
import { bumpAccessRevision } from "../access/access-revision.ts";
import { newId } from "../platform/new-id.ts";
import type { Database, Transaction } from "../schema.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { inWriteTransaction } from "../writes/write-transaction.ts";
import { ApiKeyEndedError, ApiKeyNotFoundError, ApiKeyPageTokenError } from "./api-key.errors.ts";
import * as repository from "./api-key.repository.ts";
import {
  type ApiKey,
  createApiKey,
  hasEnded,
  type NewApiKey,
  type Rotation,
  replaceApiKey,
  retireApiKey,
  revokeApiKey,
} from "./api-key.ts";
import { decodeApiKeyPageToken, encodeApiKeyPageToken } from "./api-key-page-token.ts";
import { mintApiKey } from "./api-key-text.ts";

/**
 * API keys: making them, looking at them and ending them. Whether one is good is the
 * {@link ApiKeyAuthenticator}'s to say; every change here raises the revision that its memory depends on.
 */
export interface ApiKeyService {
  /** @throws InvalidInputError */
  create(input: NewApiKey, caller?: WriteCaller<IssuedApiKey>): Promise<IssuedApiKey>;
  /** A page of all keys, newest first. @throws ApiKeyPageTokenError */
  list(page: { size: number; token: string }): Promise<ApiKeyPage>;
  /** @throws ApiKeyNotFoundError */
  get(id: string): Promise<ApiKey>;
  /** The key as it has ended. It is no error where it had already. @throws ApiKeyNotFoundError */
  revoke(id: string, caller?: WriteCaller<ApiKey>): Promise<ApiKey>;
  /** Replaces a key, once. @throws ApiKeyNotFoundError, ApiKeyEndedError */
  rotate(id: string, rotation: Rotation, caller?: WriteCaller<RotatedApiKey>): Promise<RotatedApiKey>;
}

/** A new key, and the one chance to learn its secret. */
export interface IssuedApiKey {
  readonly key: ApiKey;
  readonly secret: string;
}

/** A new key and the one that it replaces. */
export interface RotatedApiKey extends IssuedApiKey {
  readonly replaced: ApiKey;
}

/** A page of keys and the token of the next, which is empty on the last. */
export interface ApiKeyPage {
  readonly keys: readonly ApiKey[];
  readonly nextToken: string;
}

const defaultPageSize = 50;
const maxPageSize = 1_000;

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createApiKeyService(database: Database, now: () => Date): ApiKeyService {
  return {
    async create(input, caller) {
      const { secret, hash, display } = mintApiKey();
      const createdAt = now();
      const key = createApiKey(input, newId(createdAt), display, createdAt);
      return inWriteTransaction(
        database,
        async (transaction) => {
          await repository.insertApiKey(transaction, key, hash);
          await bumpAccessRevision(transaction);
          return { key, secret };
        },
        caller,
      );
    },

    async list(page) {
      const size = page.size === 0 ? defaultPageSize : Math.min(page.size, maxPageSize);
      const before = page.token === "" ? undefined : decodeApiKeyPageToken(page.token);
      if (page.token !== "" && before === undefined) throw new ApiKeyPageTokenError();
      // One more than asked for tells whether there is a next page without a second query.
      const found = await repository.listApiKeysBefore(database, before, size + 1);
      const keys = found.slice(0, size);
      const last = keys.at(-1);
      return {
        keys,
        nextToken: found.length > size && last !== undefined ? encodeApiKeyPageToken(last.id) : "",
      };
    },

    async get(id) {
      const key = await repository.findApiKey(database, requireId(id));
      if (key === undefined) throw new ApiKeyNotFoundError();
      return key;
    },

    async revoke(id, caller) {
      return inWriteTransaction(
        database,
        async (transaction) => {
          const key = await lockApiKey(transaction, requireId(id));
          const revoked = revokeApiKey(key, now());
          if (revoked !== key) {
            await repository.updateApiKeyEnd(transaction, revoked);
            await bumpAccessRevision(transaction);
          }
          return revoked;
        },
        caller,
      );
    },

    async rotate(id, rotation, caller) {
      const { secret, hash, display } = mintApiKey();
      return inWriteTransaction(
        database,
        async (transaction) => {
          const old = await lockApiKey(transaction, requireId(id));
          const rotatedAt = now();
          // Of two who rotate a key, the second finds what the first has made: it waited for the lock.
          if (hasEnded(old, rotatedAt) || (await repository.isReplaced(transaction, old.id))) {
            throw new ApiKeyEndedError();
          }
          const key = replaceApiKey(old, rotation, newId(rotatedAt), display, rotatedAt);
          const replaced = retireApiKey(old, rotation, rotatedAt);
          await repository.insertApiKey(transaction, key, hash);
          await repository.updateApiKeyEnd(transaction, replaced);
          await bumpAccessRevision(transaction);
          return { key, secret, replaced };
        },
        caller,
      );
    },
  };
}

async function lockApiKey(transaction: Transaction, id: string): Promise<ApiKey> {
  const key = await repository.lockApiKey(transaction, id);
  if (key === undefined) throw new ApiKeyNotFoundError();
  return key;
}

/** @throws ApiKeyNotFoundError where no key can have the id: the database would refuse the text */
function requireId(text: string): string {
  if (!isUuid(text)) throw new ApiKeyNotFoundError();
  return text;
}
