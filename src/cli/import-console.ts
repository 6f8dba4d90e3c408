import { MultiBar } from "cli-progress";
import type { ImportFile } from "./import-file.ts";
import type { ImportProgress } from "./import-run.ts";

/** What an import says while it runs, on standard error. */
export interface ImportConsole {
  /** Says something at once, above the progress bar. */
  say(text: string): void;
  /** Clears the progress bar away. */
  close(): void;
}

/** How often the bar is drawn. */
const framesPerSecond = 5;

/**
 * Opens the console: with a progress bar by bytes of the file where a person looks at it and the file has a
 * size, else with nothing but what is said.
 */
export function openImportConsole(
  stream: NodeJS.WriteStream,
  file: ImportFile,
  progress: ImportProgress,
): ImportConsole {
  if (stream.isTTY !== true || file.totalBytes === 0) {
    return { say: (text) => void stream.write(`${text}\n`), close: () => {} };
  }
  const bars = new MultiBar({
    stream,
    format: "{bar} {percentage}% | {added} added, {present} already present, {refused} refused",
    fps: framesPerSecond,
    clearOnComplete: true,
    gracefulExit: false,
  });
  const bar = bars.create(file.totalBytes, 0, { ...progress });
  bars.on("update-pre", () => bar.update(file.readBytes(), { ...progress }));
  return {
    // The bars write it with their next frame.
    say: (text) => bars.log(`${text}\n`),
    close() {
      bars.update();
      bars.stop();
    },
  };
}
