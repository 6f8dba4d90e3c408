import { runDetached } from "../platform/current-work.ts";
import { DomainError } from "../platform/errors.ts";
import { inTransaction } from "../platform/transaction.ts";
import type { Database } from "../schema.ts";
import { lockRefreshToken, revokeFamily } from "./refresh-token.repository.ts";
import { RefreshTokenInvalidError } from "./token.errors.ts";

/**
 * Runs what answers a call that trades a refresh token. Where it fails and the token had been used before, somebody
 * else has it, too, and its family ends. Where it gives an answer all the same, the call was the repetition of the one
 * that had used it, and the answer is that one's.
 *
 * @param hash of the token; undefined where it cannot be one
 * @param now Unix milliseconds
 * @param run is given what watches a trade
 */
export async function endFamilyOnReplay<Answer>(
  database: Database,
  hash: Uint8Array | undefined,
  now: () => number,
  run: (watch: <Pair>(trade: Promise<Pair>) => Promise<Pair>) => Promise<Answer>,
): Promise<Answer> {
  let isReplayed = false;
  try {
    return await run(async (trade) => {
      try {
        return await trade;
      } catch (error) {
        isReplayed = error instanceof RefreshTokenInvalidError && error.isReplay;
        throw error;
      }
    });
  } catch (error) {
    if (hash !== undefined && isReplayed && isDecided(error)) {
      // Nor does it help a thief to leave meanwhile.
      await runDetached(() => endFamily(database, hash, now()));
    }
    throw error;
  }
}

/** Whether it is certain that the call was answered by nobody before. If not, whoever comes back is judged then. */
function isDecided(error: unknown): boolean {
  return error instanceof DomainError && error.kind !== "unavailable";
}

/** Commits that what a token's thief and its owner hold is worth nothing from now on. */
function endFamily(database: Database, hash: Uint8Array, nowMs: number): Promise<void> {
  return inTransaction(database, async (transaction) => {
    const record = await lockRefreshToken(transaction, hash);
    if (record !== undefined) await revokeFamily(transaction, record.familyId, nowMs);
  });
}
