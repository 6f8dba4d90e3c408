import { readdirSync, readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/** The processes that a process has started and that are still there. */
export function childrenOf(parent: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    const id = Number(name);
    return Number.isInteger(id) && readStatus(id)?.parent === parent ? [id] : [];
  });
}

/** Parent and state of a process; undefined where it is gone. */
function readStatus(id: number): { parent: number; state: string } | undefined {
  try {
    const [state = "", parent] = readFileSync(`/proc/${id}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return { parent: Number(parent), state };
  } catch {
    return undefined;
  }
}

/** Waits until none of the processes is there. */
export async function untilGone(ids: readonly number[]): Promise<void> {
  const isThere = (id: number) => !["Z", "X", undefined].includes(readStatus(id)?.state);
  while (ids.some(isThere)) await setImmediate();
}

/** Sends a signal to a process, if it is there. */
export function signal(id: number, name: NodeJS.Signals): void {
  try {
    process.kill(id, name);
  } catch {
    // It has ended since it was looked up.
  }
}
