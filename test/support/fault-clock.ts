/**
 * Loaded into a server process before its program (`--import`): shifts the process's wall clock, as somebody who sets the
 * machine's does. Clocks that only go forward (`performance.now`, timers) stay as they are, and so does the database's.
 *
 * SIGUSR2 has it read the file that TEST_CLOCK_FILE names: by how many milliseconds. It then removes the file.
 */
import { readFileSync, rmSync } from "node:fs";

const RealDate = Date;
let shiftMs = 0;

const shiftedNow = (): number => RealDate.now() + shiftMs;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [shiftedNow()] : args, newTarget),
  apply: () => new RealDate(shiftedNow()).toString(),
  get: (target, name, receiver) => (name === "now" ? shiftedNow : Reflect.get(target, name, receiver)),
});

process.on("SIGUSR2", () => {
  const file = process.env["TEST_CLOCK_FILE"] ?? "";
  shiftMs = Number(readFileSync(file, "utf8"));
  rmSync(file);
});
