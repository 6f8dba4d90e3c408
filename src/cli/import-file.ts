import type { ReadStream } from "node:fs";
import { open } from "node:fs/promises";
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
 * Opens a file and reads its header. It is read as its rows are, never as a whole.
 *
 * @throws CommandError where it cannot be read, is a folder or has no such header
 */
export async function openImportFile(path: string): Promise<ImportFile> {
  const { stream, totalBytes } = await openStream(path).catch((error: Error) => {
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

async function openStream(path: string): Promise<{ stream: ReadStream; totalBytes: number }> {
  const handle = await open(path);
  const status = await handle.stat();
  if (status.isDirectory()) {
    await handle.close();
    throw new Error("it is a folder");
  }
  return {
    stream: handle.createReadStream({ encoding: "utf8" }),
    totalBytes: status.isFile() ? status.size : 0,
  };
}
