import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { access, constants } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { keepToOwner, makePrivateFolder } from "./private-files.ts";

/** Another live process uses the data directory. */
export class DataDirLockedError extends Error {
  override readonly name = "DataDirLockedError";
  /** The id of the process that holds the lock; undefined while it has not yet said so. */
  readonly holderPid: number | undefined;
  /** Where the holder serves, if it does. */
  readonly holderUrl: string | undefined;

  constructor(dataDir: string, holder: LockRecord | undefined) {
    super(
      `the data directory ${dataDir} is in use: ${describeHolder(holder)}. ` +
        "Stop that process, or set DATA_DIR to another folder, or use PostgreSQL by DATABASE_URL",
    );
    this.holderPid = holder?.pid;
    this.holderUrl = holder?.url;
  }
}

/** A held lock. */
export interface DataDirLock {
  /** Tells others where this process serves, so that they can call it instead. */
  announce(url: string): Promise<void>;
  release(): Promise<void>;
}

/** What the holder tells about itself. It is for people and for `holderUrl`: it decides nothing. */
interface LockRecord {
  readonly pid: number;
  readonly host: string;
  readonly url?: string | undefined;
}

/** SQLite's primary result code for a database that somebody else has locked (sqlite.org/rescode.html). */
const sqliteBusy = 5;

/**
 * Taking the lock has several steps, and two processes that take it at once may hold each other up between
 * them. SQLite sorts that out in milliseconds; who still waits after this time is kept out by a holder.
 */
const contentionTimeoutMs = 300;

/** Kept from the garbage collector, which would close the file and with it lose the lock. */
const heldFiles = new Set<DatabaseSync>();

/**
 * Takes the lock of a data directory, creating the directory if need be. Two processes on one embedded
 * database would lose each other's writes.
 *
 * The lock is the operating system's, on the file `lock.sqlite`, so it goes when its process goes, however
 * that ends, and there is no stale lock to recognise. A file that holds a process id would need that, and gets
 * it wrong: ids are used again, and two containers on one volume are both process 1. Node has no call for a
 * file lock of its own; SQLite, which it brings along, has.
 *
 * Beside it the file `lock` says who the holder is. Nothing may open `lock.sqlite` by other means in a process
 * that holds it: closing any descriptor of a file drops all of its process's POSIX locks on it (fcntl_locking(2)).
 *
 * @throws DataDirLockedError where it is held, also by this process
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  await makePrivateFolder(dataDir);
  // SQLite says no more than that it cannot open its file; this names the folder and the reason.
  await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  const recordPath = join(dataDir, "lock");
  const file = await lockFile(join(dataDir, "lock.sqlite"));
  if (file === undefined) {
    throw new DataDirLockedError(dataDir, readRecord(recordPath));
  }
  const record: LockRecord = { pid: process.pid, host: hostname() };
  let held = true;
  try {
    writeRecord(recordPath, record);
  } catch (error) {
    file.close();
    throw error;
  }
  heldFiles.add(file);
  return {
    async announce(url) {
      if (held) {
        writeRecord(recordPath, { ...record, url });
      }
    },
    async release() {
      if (held) {
        held = false;
        // The record first: once the lock is free, it may be the next holder's.
        rmSync(recordPath, { force: true });
        heldFiles.delete(file);
        file.close();
      }
    },
  };
}

/** Locks a file for as long as it stays open; undefined where it is locked already. */
async function lockFile(path: string): Promise<DatabaseSync | undefined> {
  // Not loaded where the database is PostgreSQL: Node 22 warns at the sight of it.
  const { DatabaseSync } = await import("node:sqlite");
  const file = new DatabaseSync(path, { timeout: contentionTimeoutMs });
  try {
    // A transaction that never ends and writes nothing: the file stays empty and needs no journal beside it.
    file.exec("pragma journal_mode = memory; begin exclusive");
    // Whoever can read a file can lock it, and keep its owner out.
    await keepToOwner(path);
    return file;
  } catch (error) {
    file.close();
    if ((error as { errcode?: number }).errcode === sqliteBusy) {
      return undefined;
    }
    throw error;
  }
}

/** Writes it whole or not at all: a reader never sees a part. */
function writeRecord(path: string, record: LockRecord): void {
  const draft = `${path}.new`;
  writeFileSync(draft, JSON.stringify(record), { mode: 0o600 });
  renameSync(draft, path);
}

function readRecord(path: string): LockRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(path, "utf8")) as LockRecord;
    return Number.isSafeInteger(record.pid) ? record : undefined;
  } catch {
    // The holder has just begun, or this is what a machine that lost its power left behind.
    return undefined;
  }
}

function describeHolder(holder: LockRecord | undefined): string {
  if (holder === undefined) {
    return "another process holds its lock";
  }
  const where = holder.host === hostname() ? "" : ` on ${holder.host}`;
  const url = holder.url === undefined ? "" : ` and serves at ${holder.url}`;
  return `process ${holder.pid}${where} holds its lock${url}`;
}
