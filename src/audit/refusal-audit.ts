import { runDetached } from "../platform/current-work.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import type { AuditDraft } from "../writes/write-record.ts";
import { insertEntries } from "./audit.repository.ts";
import { defaultRefusalBounds, RefusalBook, type RefusalBounds } from "./refusal-book.ts";

/** Writes refusals into the audit log, apart from the calls that they end: no call waits for it or fails by it. */
export interface RefusalAudit {
  /** Takes a refusal down. It is written within about a second, or later where the database is away. */
  refuse(draft: AuditDraft): void;
  /** What has become of them, and how many entries are yet to be written. */
  readonly load: { readonly waiting: number; readonly totals: RefusalBook["totals"] };
  /** Writes what is left. What cannot be written by then is counted in the log. */
  close(): Promise<void>;
}

/** What it is made of. */
export interface RefusalAuditDependencies {
  readonly database: Database;
  readonly logger: Logger;
  readonly bounds?: RefusalBounds;
  /** How long refusals are gathered, in milliseconds. */
  readonly intervalMs?: number;
  /** How long a close waits for the database, in milliseconds. */
  readonly closeTimeoutMs?: number;
}

const batchSize = 500;

/**
 * Opens it: refusals are gathered for a second, or until they fill a batch, and inserted by one statement. A batch that
 * fails is tried again for as long as it takes: should the database have kept it and only its answer be lost, its
 * entries are there twice.
 */
export function openRefusalAudit(dependencies: RefusalAuditDependencies): RefusalAudit {
  const {
    database,
    logger,
    bounds = defaultRefusalBounds,
    intervalMs = 1_000,
    closeTimeoutMs = 5_000,
  } = dependencies;
  const book = new RefusalBook(bounds, Date.now());
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;
  let isFailing = false;
  let isClosed = false;

  /** @returns whether the database has taken it */
  async function writeBatch(everything: boolean): Promise<boolean> {
    const batch = book.next(batchSize, Date.now(), everything);
    if (batch.length === 0) return true;
    try {
      await insertEntries(database, batch);
    } catch (error) {
      if (!isFailing) logger.warn({ err: error }, "refusals could not be written to the audit log yet");
      isFailing = true;
      return false;
    }
    isFailing = false;
    book.written(batch.length);
    const counted = batch.reduce((sum, { calls }) => sum + calls, 0) - batch.length;
    if (counted > 0) logger.warn({ counted }, "refusals were too many to be audited one by one");
    return true;
  }

  async function write(everything: boolean): Promise<void> {
    let goesOn = true;
    while (goesOn) {
      const taken = await writeBatch(everything);
      goesOn = taken && (everything ? !book.isEmpty : book.waiting >= batchSize);
    }
  }

  function start(): void {
    clearTimeout(timer);
    timer = undefined;
    writing ??= runDetached(() => write(false)).finally(() => {
      writing = undefined;
      schedule();
    });
  }

  function schedule(): void {
    if (!isClosed && !book.isEmpty && writing === undefined) timer ??= setTimeout(start, intervalMs).unref();
  }

  return {
    load: {
      get waiting() {
        return book.waiting;
      },
      totals: book.totals,
    },
    refuse(draft) {
      book.add(toStorable(draft));
      // Where the last batch has failed, the next waits its time.
      if (book.waiting >= batchSize && !isFailing && !isClosed) start();
      else schedule();
    },

    async close() {
      isClosed = true;
      clearTimeout(timer);
      const rest = (writing ?? Promise.resolve()).then(() => write(true));
      let timeout: NodeJS.Timeout | undefined;
      await Promise.race([rest, new Promise((resolve) => (timeout = setTimeout(resolve, closeTimeoutMs)))]);
      clearTimeout(timeout);
      const lost = book.countCalls();
      if (lost > 0) logger.error({ lost }, "refusals could not be written to the audit log");
    },
  };
}

const maxTextLength = 300;

/** What of a draft may come from outside is cut short, and holds nothing that would fail the whole batch. */
function toStorable(draft: AuditDraft): AuditDraft {
  return { ...draft, subject: toStorableText(draft.subject), credential: toStorableText(draft.credential) };
}

function toStorableText(text: string): string {
  return text.slice(0, maxTextLength).toWellFormed().replaceAll("\0", "\ufffd");
}
