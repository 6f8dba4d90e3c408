import { DatabaseFullError, DatabaseUnavailableError } from "./errors.ts";

/** SQLSTATEs (PostgreSQL's appendix A) after which the same call may work later: it never took effect. */
const unavailableStates = new Set([
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "53300", // too_many_connections
  "25006", // read_only_sql_transaction: the primary became a standby
]);

const unavailableSystemCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT", // the socket file of a server that is down
]);

/** node-postgres gives these failures no code. */
const unavailableMessages =
  /Connection terminated|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed and is not queryable|Cannot use a pool after calling end/i;

/** Whether the failure means that the database cannot be reached, rather than that it refused a statement. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (error instanceof AggregateError) {
    return error.errors.some(isDatabaseUnavailable);
  }
  if (!(error instanceof Error)) {
    return false;
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return (
    error instanceof DatabaseUnavailableError ||
    code.startsWith("08") || // connection_exception
    unavailableStates.has(code) ||
    unavailableSystemCodes.has(code) ||
    unavailableMessages.test(error.message)
  );
}

/** Whether a transaction lost a race and can simply be run again: serialization_failure, deadlock_detected. */
export function isRetryable(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "40001" || error.code === "40P01");
}

/** The failure as the domain knows it: a lost database, or a full one; any other as it is. */
export function translateDatabaseError(error: unknown): unknown {
  // disk_full: the statement has failed, and what it is part of was rolled back.
  if (error instanceof Error && "code" in error && error.code === "53100") {
    return new DatabaseFullError({ cause: error });
  }
  return isDatabaseUnavailable(error) && !(error instanceof DatabaseUnavailableError)
    ? new DatabaseUnavailableError({ cause: error })
    : error;
}
