import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** Another live process uses the data directory. */
export class DataDirLockedError extends Error {
  override readonly name = "DataDirLockedError";
  /** The id of the process that holds the lock. */
  readonly holderPid: number;
  /** Where the holder serves, if it does. */
  readonly holderUrl: string | undefined;

  constructor(dataDir: string, holder: LockRecord) {
    const where = holder.url === undefined ? "" : ` and serves at ${holder.url}`;
    super(
      `the data directory ${dataDir} is in use: process ${holder.pid} holds its lock${where}. ` +
        "Stop that process, or set DATA_DIR to another folder, or use PostgreSQL by DATABASE_URL",
    );
    this.holderPid = holder.pid;
    this.holderUrl = holder.url;
  }
}

/** A held lock. */
export interface DataDirLock {
  /** Tells others where this process serves, so that they can call it instead. */
  announce(url: string): Promise<void>;
  release(): Promise<void>;
}

interface LockRecord {
  readonly pid: number;
  /** When the process started, in the kernel's own unit; tells a process from a later one with the same id. */
  readonly startTime?: string | undefined;
  readonly url?: string | undefined;
}

/**
 * Takes the lock of a data directory, creating the directory if need be. Two processes on one embedded
 * database would lose each other's writes.
 *
 * A lock whose process is gone is taken over.
 *
 * @throws DataDirLockedError where a live process holds it
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  await mkdir(dataDir, { recursive: true });
  const path = join(dataDir, "lock");
  const record: LockRecord = { pid: process.pid, startTime: await findStartTime(process.pid) };
  if (!(await createExclusively(path, record))) {
    await takeOver(dataDir, path, record);
  }
  return {
    announce: async (url) => {
      const file = await open(path, "w");
      await file.writeFile(JSON.stringify({ ...record, url }));
      await file.close();
    },
    release: () => rm(path, { force: true }),
  };
}

/**
 * Replaces a lock that nobody holds. Two processes may find the same dead lock at once: the second must not
 * remove what the first has just put there, so removal and creation happen under a lock of their own.
 */
async function takeOver(dataDir: string, path: string, record: LockRecord): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await createExclusively(guard, record))) {
    const age = Date.now() - ((await stat(guard).catch(() => undefined))?.mtimeMs ?? 0);
    const holder = await findLiveHolder(guard);
    if (holder !== undefined && age < 10_000) {
      throw new DataDirLockedError(dataDir, holder);
    }
    await rm(guard, { force: true });
    return takeOver(dataDir, path, record);
  }
  try {
    const holder = await findLiveHolder(path);
    if (holder !== undefined) {
      throw new DataDirLockedError(dataDir, holder);
    }
    await rm(path, { force: true });
    await createExclusively(path, record);
  } finally {
    await rm(guard, { force: true });
  }
}

async function createExclusively(path: string, record: LockRecord): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(JSON.stringify(record));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      return false;
    }
    throw error;
  }
}

async function findLiveHolder(path: string): Promise<LockRecord | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const holder = parseRecord(text);
  if (holder === undefined || holder.pid === process.pid || !isAlive(holder.pid)) {
    // Our own id in a file that we did not write: a container restarted, and ids began again at 1.
    return undefined;
  }
  const startTime = await findStartTime(holder.pid);
  return holder.startTime !== undefined && startTime !== holder.startTime ? undefined : holder;
}

function parseRecord(text: string): LockRecord | undefined {
  try {
    const record = JSON.parse(text) as LockRecord;
    return Number.isSafeInteger(record.pid) && record.pid > 0 ? record : undefined;
  } catch {
    // Half-written by a process that died: nobody holds it.
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); undefined where there is no such file system. */
async function findStartTime(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The command's name, field 2, may hold spaces: count from the parenthesis that ends it.
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19];
}
