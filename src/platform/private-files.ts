import { chmod, mkdir, stat } from "node:fs/promises";
import type { Logger } from "./logger.ts";

/** What a file's or a folder's group and all others may do. */
const rightsOfOthers = 0o077;

/** Makes a folder, and those above it that are missing, for this user alone. One that is there stays as it is. */
export async function makePrivateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/**
 * Takes from all others what they may do with a file or a folder. Where that cannot be done, because it is somebody
 * else's, the log is warned, if there is one, and the program goes on: it may have been set up so.
 *
 * It opens nothing: closing a file that a lock is on would lose the lock.
 *
 * @throws the system's error where there is nothing at the path
 */
export async function keepToOwner(path: string, logger?: Pick<Logger, "warn">): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & rightsOfOthers) === 0) return;
  try {
    await chmod(path, mode & 0o777 & ~rightsOfOthers);
  } catch (error) {
    logger?.warn({ err: error, path }, "others on this machine may read this: its rights cannot be changed");
  }
}
