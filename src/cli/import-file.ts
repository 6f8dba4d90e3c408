import { open } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { createLineQueue, splitLines } from "./csv-lines.ts";
import { readCsvRecords } from "./csv-records.ts";
import { CommandError } from "./failure.ts";
import { type ImportRow, openImportRows } from "./import-rows.ts";

/** An open CSV file whose header has been read. */
export interface ImportFile {
  readonly rows: AsyncIterator<ImportRow>;
  /** Its size; 0 where it is a pipe, which has none. */
  readonly totalBytes: number;
  readonly readBytes: () => number;
  close(): void;
}

/**
 * Opens a file, or standard input where the path is `-`, and reads its header. It is read as its rows are, never
 * as a whole.
 *
 * @param signal when it aborts, reading fails: a pipe may have nothing to give for a long time
 * @throws CommandError where it cannot be read, is a folder or has no such header
 */
export async function openImportFile(path: string, signal: AbortSignal): Promise<ImportFile> {
  const { stream, totalBytes } = await openInput(path, signal).catch((error: Error) => {
    throw new CommandError(`cannot read ${path}: ${error.message}`, { cause: error });
  });
  try {
    return {
      rows: await openImportRows(readCsvRecords(createLineQueue(splitLines(stream)))),
      totalBytes,
      readBytes: () => stream.bytesRead,
      close: () => void stream.destroy(),
    };
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

interface Input {
  readonly stream: Readable & { readonly bytesRead: number };
  readonly totalBytes: number;
}

async function openInput(path: string, signal: AbortSignal): Promise<Input> {
  if (path === "-") {
    const { stdin } = process;
    return { stream: addAbortSignal(signal, stdin.setEncoding("utf8")), totalBytes: 0 };
  }
  const handle = await open(path);
  const status = await handle.stat();
  if (status.isDirectory()) {
    await handle.close();
    throw new Error("it is a folder");
  }
  return {
    stream: handle.createReadStream({ encoding: "utf8", signal }),
    totalBytes: status.isFile() ? status.size : 0,
  };
}
