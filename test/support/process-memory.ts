import { readFile, writeFile } from "node:fs/promises";

/** What a process has in memory, in megabytes. */
export interface ProcessMemory {
  /** Now. */
  readonly resident: number;
  /** At most, since {@link forgetPeak}. */
  readonly peak: number;
}

/** Asks the kernel: a process under attack may not answer (proc(5), `/proc/pid/status`). */
export async function readMemory(pid: number): Promise<ProcessMemory> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const read = (name: string): number => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status);
    if (match === null) throw new Error(`the kernel does not tell ${name} of process ${pid}`);
    return Number(match[1]) / 1_024;
  };
  return { resident: read("VmRSS"), peak: read("VmHWM") };
}

/** Lets the peak begin anew, at what is resident now. */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5");
}
