import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Logger } from "./logger.ts";

/** Files whose contents are in use. */
export interface WatchedFiles {
  /** Looks no more. */
  close(): void;
}

/** How a watch looks. */
export interface WatchOptions {
  /** Between two looks; a change is taken at the second look that finds it. */
  readonly intervalMs?: number;
}

const defaultIntervalMs = 2_000;

/**
 * Reads files that belong together and hands their contents over: now, and whenever they have changed. They are
 * looked at, since the system's notifications miss the symbolic links by which Kubernetes swaps a whole folder, and
 * compared by content. A change counts once two looks in a row find the same, so that of two files that are written
 * one after the other not the new one and the old one are taken together.
 *
 * What cannot be read, or what `take` throws at, is logged once, and whatever was taken before stays.
 *
 * @param take takes the contents over, in the order of the paths, or throws and takes nothing
 * @throws at once what the system or `take` throws at the first contents
 */
export async function openWatchedFiles(
  paths: readonly string[],
  take: (contents: readonly Buffer[]) => void,
  logger: Logger,
  { intervalMs = defaultIntervalMs }: WatchOptions = {},
): Promise<WatchedFiles> {
  const first = await readAll(paths);
  take(first);
  /** Of what was last handed over, whether it was taken or not. */
  let settled = digest(first);
  let lastSeen = settled;
  let complaint: string | undefined;
  let isClosed = false;
  let timer: NodeJS.Timeout;
  wait();

  function wait(): void {
    // A process that has nothing else to do does not live to look at files.
    timer = setTimeout(() => void look(), intervalMs).unref();
  }

  async function look(): Promise<void> {
    try {
      const contents = await readAll(paths);
      if (!isClosed) weigh(contents);
    } catch (error) {
      complain("files cannot be read; what they said before stays in force", error);
    }
    if (!isClosed) wait();
  }

  function weigh(contents: readonly Buffer[]): void {
    const seen = digest(contents);
    const isSteady = seen === lastSeen;
    lastSeen = seen;
    if (seen === settled) {
      complaint = undefined;
    } else if (isSteady) {
      settled = seen;
      handOver(contents);
    }
  }

  function handOver(contents: readonly Buffer[]): void {
    try {
      take(contents);
      complaint = undefined;
      logger.info({ paths }, "files have changed and are in force");
    } catch (error) {
      complain("files have changed and are wrong; what they said before stays in force", error);
    }
  }

  function complain(text: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (isClosed || message === complaint) return;
    complaint = message;
    logger.error({ paths, fault: message }, text);
  }

  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

function readAll(paths: readonly string[]): Promise<Buffer[]> {
  return Promise.all(paths.map((path) => readFile(path)));
}

function digest(contents: readonly Buffer[]): string {
  const hash = createHash("sha256");
  // With its length, so that nothing that moves from one file to the next goes unnoticed.
  for (const content of contents) hash.update(`${content.length}:`).update(content);
  return hash.digest("base64");
}
