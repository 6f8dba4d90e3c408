import { UserNotFoundError } from "../users/user.errors.ts";

/** SQLSTATE foreign_key_violation. The tables of this slice refer to users and to nothing else. */
const foreignKeyViolation = "23503";

/** What a failed write means to the caller: a row of a user that does not exist; any other failure as it is. */
export function translateMissingUser(error: unknown): unknown {
  return error instanceof Error && "code" in error && error.code === foreignKeyViolation
    ? new UserNotFoundError()
    : error;
}
