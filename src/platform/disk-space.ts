import { statfsSync } from "node:fs";
import { DatabaseFullError } from "./errors.ts";
import type { Logger } from "./logger.ts";

/**
 * Three of PostgreSQL's 16 MiB segments of write-ahead log. PGlite does not survive a disk that is too full for the next
 * one: the commit that needs it fails with a lock in hand, and the one behind it waits for that lock in a loop that
 * never gives the thread back.
 */
const reserveBytes = 48 * 1_024 ** 2;

/** Between two looks, far less is written than the reserve holds. A look takes some ten microseconds. */
const lookIntervalMs = 100;

/** How an embedded database is told to refuse writes, and to take them again. */
export const readOnlySettings = {
  true: "set default_transaction_read_only = on",
  false: "set default_transaction_read_only = off",
} as const;

/** Watches how much room the disk of an embedded database has left. */
export class DiskSpace {
  readonly #folder: string;
  readonly #logger: Pick<Logger, "warn">;
  #isShort = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(folder: string, logger: Pick<Logger, "warn">) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** Looks, now and then. @returns whether there is too little room for writes, where that has changed */
  findChange(): boolean | undefined {
    const now = performance.now();
    if (now < this.#lookedAt + lookIntervalMs) return undefined;
    this.#lookedAt = now;
    const { bavail, bsize } = statfsSync(this.#folder);
    const freeBytes = bavail * bsize;
    const isShort = freeBytes < reserveBytes;
    if (isShort === this.#isShort) return undefined;
    this.#isShort = isShort;
    this.#logger.warn(
      { folder: this.#folder, freeBytes, reserveBytes },
      isShort ? "the disk is all but full: writes are refused" : "the disk has room again: writes are taken",
    );
    return isShort;
  }

  /** The failure as the domain knows it, where the room is what it is about. */
  explain(error: unknown): unknown {
    const isRefusedWrite = error instanceof Error && "code" in error && error.code === "25006";
    return isRefusedWrite && this.#isShort ? new DatabaseFullError({ cause: error }) : error;
  }
}
