import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { endingSignal, undoAtEnd } from "./clean-up.ts";
import { repository } from "./places.ts";

/** A process that says when it is ready. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Sends SIGTERM and, where that is not heeded within ten seconds, SIGKILL; resolves at the end. */
  stop(): Promise<void>;
}

const stopTimeoutMs = 10_000;
const readyTimeoutMs = 60_000;

/** The environment of this process with the repository's own Node first in PATH, and what is given on top. */
export function environment(variables: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const own = join(repository, "node_modules/.bin");
  return { ...process.env, PATH: `${own}${delimiter}${process.env["PATH"] ?? ""}`, ...variables };
}

/**
 * Starts a process and waits until its standard output matches.
 *
 * @throws with what it printed, where it ends or takes more than a minute instead
 */
export async function startProcess(
  command: readonly [string, ...string[]],
  ready: RegExp,
  options: SpawnOptions,
): Promise<Running> {
  endingSignal.throwIfAborted();
  const [file, ...args] = command;
  const child = spawn(file, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  const closed = once(child, "close").catch(() => {});
  const isReady = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      // Only the beginning is of interest; a server that logs every call must not fill the memory.
      if (output.length < 65_536) output += text;
      if (stream === child.stdout && ready.test(output)) isReady.resolve();
    });
  }
  const timer = setTimeout(
    () => isReady.reject(new Error(`${file} was not ready: ${output}`)),
    readyTimeoutMs,
  );
  child.once("error", isReady.reject);
  void closed.then(() => isReady.reject(new Error(`${file} ended before it was ready: ${output}`)));

  const stop = undoAtEnd(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const lastResort = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await closed;
    clearTimeout(lastResort);
  });

  try {
    await isReady.promise;
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { child, pid: child.pid ?? 0, stop };
}

const execute = promisify(execFile);

/** Runs a command to its end and returns its standard output. @throws with its standard error where it fails */
export async function run(
  command: readonly [string, ...string[]],
  options: {
    readonly cwd?: string;
    readonly timeoutMs?: number;
    readonly variables?: Readonly<Record<string, string>>;
    /** Whether it goes on when the run ends, as what cleans up must. */
    readonly survives?: boolean;
  } = {},
): Promise<string> {
  const [file, ...args] = command;
  const { cwd, timeoutMs = 600_000, variables, survives = false } = options;
  const { stdout } = await execute(file, args, {
    env: environment(variables),
    timeout: timeoutMs,
    maxBuffer: 64 * 1024 ** 2,
    ...(!survives && { signal: endingSignal }),
    ...(cwd !== undefined && { cwd }),
  });
  return stdout;
}

/** Whether a command is there. */
export async function hasCommand(name: string): Promise<boolean> {
  return run(["sh", "-c", `command -v -- '${name}'`]).then(
    () => true,
    () => false,
  );
}

/** A port that nobody uses at this moment. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
}
