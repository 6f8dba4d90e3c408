import { DomainError } from "../platform/errors.ts";

/** The text given as a cursor is none. */
export class InvalidCursorError extends DomainError {
  override readonly name = "InvalidCursorError";
  readonly kind = "invalid_argument";
  readonly reason = "CURSOR_INVALID";
  override readonly violations = [
    { field: "after_cursor", description: "is not a cursor of this service", reason: "cursor" },
  ];

  constructor() {
    super("after_cursor is not a cursor of this service; give back a cursor exactly as an event carried it");
  }
}

/** The cursor was made by another database, whose revisions mean something else. */
export class ForeignCursorError extends DomainError {
  override readonly name = "ForeignCursorError";
  readonly kind = "failed_precondition";
  readonly reason = "CURSOR_FOREIGN";

  constructor() {
    super("after_cursor belongs to another database; read the users anew and stream without a cursor");
  }
}

/** The cursor is beyond the newest event: the database has lost what came after, e.g. by a restored backup. */
export class CursorAheadError extends DomainError {
  override readonly name = "CursorAheadError";
  readonly kind = "failed_precondition";
  readonly reason = "CURSOR_AHEAD";

  constructor() {
    super(
      "after_cursor is beyond the end of the log, which may have been restored from a backup; read the users anew and stream without a cursor",
    );
  }
}

/** Events behind the cursor have been removed by retention: the stream would have a gap. */
export class CursorCompactedError extends DomainError {
  override readonly name = "CursorCompactedError";
  readonly kind = "out_of_range";
  readonly reason = "CURSOR_COMPACTED";
  override readonly metadata: Readonly<Record<string, string>>;

  /** @param earliestCursor the oldest cursor that a stream can still begin behind */
  constructor(earliestCursor: string) {
    super(
      "after_cursor is older than the retained events; read the users anew and resume from earliest_cursor",
    );
    this.metadata = { earliest_cursor: earliestCursor };
  }
}
