import { CommandError } from "./failure.ts";

/** A line this long is no row of users: the file is something else, and is not to be held in memory. */
const maxLineLength = 1024 ** 2;

/** How many lines that have been taken may wait to be dropped. */
const keptLines = 1_000;

/** CRLF, LF or CR; a CR at the very end of the text may be half of a CRLF. */
const lineEnd = /\r\n|\n|\r(?!$)/;

/**
 * Splits text that arrives in pieces into lines, without their ends and without a byte order mark. A file that
 * mixes line ends is split at each.
 *
 * @throws CommandError at a line of more than 1 MiB
 */
export async function* splitLines(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  let atStart = true;
  for await (const piece of pieces) {
    const lines = (rest + (atStart ? piece.replace(/^\uFEFF/, "") : piece)).split(lineEnd);
    atStart = false;
    rest = lines.pop() ?? "";
    if (rest.length > maxLineLength) {
      throw new CommandError("the file is no CSV of users: it has a line of more than 1 MiB");
    }
    yield* lines;
  }
  if (rest !== "") {
    yield rest.replace(/\r$/, "");
  }
}

/** Lines that can be looked at before they are taken. */
export interface LineQueue {
  /** The line that many places ahead; undefined behind the last. */
  peek(ahead: number): Promise<string | undefined>;
  take(count: number): void;
}

/** Reads lines as they are looked at, and keeps those that have not been taken. */
export function createLineQueue(lines: AsyncIterator<string>): LineQueue {
  const seen: string[] = [];
  let first = 0;

  return {
    async peek(ahead) {
      while (seen.length - first <= ahead) {
        const next = await lines.next();
        if (next.done === true) {
          return undefined;
        }
        seen.push(next.value);
      }
      return seen[first + ahead];
    },
    take(count) {
      first += count;
      // Dropping many at once costs less than shifting each.
      if (first === seen.length || first >= keptLines) {
        seen.splice(0, first);
        first = 0;
      }
    },
  };
}
