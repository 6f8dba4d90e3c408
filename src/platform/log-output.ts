import { writeSync } from "node:fs";

/** As much text as may wait for a reader that is slow, or stuck: characters, mostly of one byte. */
const maxWaitingLength = 1_048_576;
/** How long the end of the process waits for its reader. */
const flushTimeoutMs = 1_000;
const retryMs = 10;

/** What Node's streams over pipes and sockets have: how many bytes the kernel has not taken yet. */
type Stderr = typeof process.stderr & { readonly _handle?: { readonly writeQueueSize?: number } };

/**
 * Standard error, for lines of the log. As long as its reader keeps up, a line is the kernel's when `write` returns, so
 * that it outlives the process, however that ends. A reader that does not keep up holds nobody up: what it leaves waits
 * up to a bound, further lines are dropped, and how many is told when there is room again. What waits at the end of the
 * process is given a second.
 *
 * (pino's own synchronous writes stop the process at a full pipe, for ever if need be. Its asynchronous ones keep one
 * of Node's four threads there, and lose in a crash what they have put by.)
 */
class StandardError {
  readonly #stream: Stderr = process.stderr;
  /** What has been given to the stream, unless the kernel has taken it. */
  #writing: Buffer | undefined;
  #waiting: string[] = [];
  #waitingLength = 0;
  #dropped = 0;
  #tellDropped = (_lines: number): void => {};
  #isGone = false;

  constructor() {
    this.#stream.on("error", (error: NodeJS.ErrnoException) => {
      // Nobody reads any more, and nobody will. Other faults, such as a disk that is full, may pass.
      if (error.code === "EPIPE" || error.code === "ECONNRESET") this.#isGone = true;
    });
    process.on("exit", () => this.#flush());
  }

  /** @param tellDropped called later with how many lines have been dropped, this one or those after it */
  write(line: string, tellDropped: (lines: number) => void): void {
    if (this.#isGone) return;
    if (this.#writing === undefined) {
      this.#send(line);
    } else if (this.#waitingLength + line.length <= maxWaitingLength) {
      this.#waiting.push(line);
      this.#waitingLength += line.length;
    } else {
      this.#dropped += 1;
      this.#tellDropped = tellDropped;
    }
  }

  #send(text: string): void {
    const bytes = Buffer.from(text);
    this.#writing = bytes;
    this.#stream.write(bytes, () => {
      if (this.#writing === bytes) this.#goOn();
    });
    if (this.#stream.writableLength === 0) this.#writing = undefined;
  }

  /** The kernel has taken all that the stream had. */
  #goOn(): void {
    this.#writing = undefined;
    const [waiting, dropped] = [this.#waiting, this.#dropped];
    this.#waiting = [];
    this.#waitingLength = 0;
    this.#dropped = 0;
    if (waiting.length > 0) this.#send(waiting.join(""));
    if (dropped > 0) this.#tellDropped(dropped);
  }

  #flush(): void {
    if (this.#writing === undefined || this.#isGone) return;
    const unsent = this.#stream._handle?.writeQueueSize ?? 0;
    let rest = Buffer.concat([
      this.#writing.subarray(this.#writing.length - unsent),
      Buffer.from(this.#waiting.join("")),
    ]);
    const endsAt = performance.now() + flushTimeoutMs;
    while (rest.length > 0 && performance.now() < endsAt) {
      try {
        rest = rest.subarray(writeSync(this.#stream.fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
      }
    }
  }
}

let standardError: StandardError | undefined;

/** The process's standard error: one, however many loggers write to it. */
export function openStandardError(): Pick<StandardError, "write"> {
  standardError ??= new StandardError();
  return standardError;
}
