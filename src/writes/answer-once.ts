import { DomainError, type ErrorKind } from "../platform/errors.ts";
import type { Database } from "../schema.ts";
import { isAnswerKept } from "./idempotency.errors.ts";
import { deleteKeptAnswer, findKeptAnswer } from "./kept-answer.repository.ts";
import type { KeyedCall } from "./keyed-call.ts";

/** How long a repetition gets the first answer. */
export const keptForMs = 24 * 60 * 60_000;

/** An answer that is in the way may be too old, or be cleaned up before it is looked at; not again and again. */
const attempts = 3;

/**
 * Carries out the write of a call with an idempotency key, unless one with the same key has been: then that one's
 * answer is given.
 *
 * Nothing is asked beforehand. The answer is inserted with the write, so that of two with one key the database keeps
 * one; the other finds out by its failure, as does whoever repeats a call whose first answer was lost. A repetition
 * may also be refused for what the first has done (who deletes a user again finds nobody), so that refusals ask, too.
 *
 * @param onRepeat called where it is the kept answer that is given. Must not throw
 * @param write gives the answer's bytes, having kept them with the write
 * @returns the answer's bytes
 * @throws what `write` throws where no answer has been kept; IdempotencyKeyReusedError; where it cannot be told
 * whether one has, the database's error
 */
export async function answerOnce(
  database: Database,
  call: KeyedCall,
  now: () => Date,
  onRepeat: () => void,
  write: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (!mayBeRepetition(error)) throw error;
      const stored = await findKeptAnswer(database, call.keyHash);
      const expiredAt = new Date(now().getTime() - keptForMs);
      if (stored !== undefined && stored.createdAt > expiredAt) {
        const answer = call.read(stored);
        onRepeat();
        return answer;
      }
      if (!isAnswerKept(error) || attempt === attempts) throw error;
      await deleteKeptAnswer(database, call.keyHash, expiredAt);
    }
  }
}

/**
 * Who may not do it, or not any more, or not so soon, gets no answer for having done it before: least of all a login
 * that has been slowed down, which would tell by its answer whether the password is right.
 */
const repeatableKinds: ReadonlySet<ErrorKind> = new Set([
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "out_of_range",
]);

function mayBeRepetition(error: unknown): boolean {
  return error instanceof DomainError ? repeatableKinds.has(error.kind) : isAnswerKept(error);
}
