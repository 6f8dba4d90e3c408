import { NoWayInError } from "../access/way-in.ts";
import { KeyEncryptionKeyError } from "../auth/signing-key.errors.ts";
import { ConfigError } from "../platform/config.ts";
import { DataDirLockedError } from "../platform/data-dir-lock.ts";
import { isDatabaseUnavailable } from "../platform/database-errors.ts";
import { SchemaError } from "../platform/migrator.ts";
import { ListenError } from "../server/listen.ts";

/** A command cannot do what it was asked to; the message is all that its user needs. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

const expected = [
  CommandError,
  ConfigError,
  DataDirLockedError,
  KeyEncryptionKeyError,
  ListenError,
  NoWayInError,
  SchemaError,
];

/**
 * Says on standard error why a command failed and sets the exit status to 1. Failures that a user can mend are
 * shown without a stack trace.
 */
export function reportFailure(error: unknown): void {
  process.exitCode = 1;
  if (expected.some((type) => error instanceof type)) {
    process.stderr.write(`user-bridge: ${(error as Error).message}\n`);
  } else if (isDatabaseUnavailable(error)) {
    process.stderr.write(`user-bridge: the database cannot be reached: ${innermostMessage(error)}\n`);
  } else if (isSystemError(error)) {
    process.stderr.write(`user-bridge: ${error.message}\n`);
  } else {
    process.stderr.write(`user-bridge: ${error instanceof Error ? error.stack : String(error)}\n`);
  }
}

/** A refusal by the operating system: a port in use, a file that is missing. Its message names both. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

function innermostMessage(error: unknown): string {
  if (error instanceof AggregateError) {
    return innermostMessage(error.errors[0]);
  }
  return error instanceof Error
    ? error.cause === undefined
      ? error.message
      : innermostMessage(error.cause)
    : String(error);
}
