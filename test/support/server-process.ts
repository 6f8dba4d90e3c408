import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** `user-bridge` as a process of its own. */
export interface ServerProcess {
  readonly child: ChildProcess;
  readonly url: string;
  /** Undefined where it has no internal listener. */
  readonly internalUrl: string | undefined;
  /** All of standard output and error so far. */
  output(): string;
  /** Sends a signal and waits for the end. */
  stop(signal: NodeJS.Signals): Promise<Exit>;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const main = join(import.meta.dirname, "../../src/main.ts");

/** Starts a command and collects what it prints. Only PATH and HOME are inherited. */
export function startCommand(
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
  cwd?: string,
) {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { PATH, HOME, ...variables },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code, signal]): Exit => ({ code, signal }));
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** Runs a command to its end. */
export async function runCommand(
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
  cwd?: string,
) {
  const command = startCommand(args, variables, cwd);
  command.child.stdin.end();
  const exit = await command.ended;
  return { ...exit, stdout: command.stdout(), stderr: command.stderr() };
}

/**
 * Starts `user-bridge serve` on free ports and waits until it says that it serves.
 *
 * @throws with everything it printed, where it ends instead
 */
export async function startServerProcess(
  variables: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const command = startCommand(["serve"], {
    LISTEN: "127.0.0.1:0",
    INTERNAL_LISTEN: "127.0.0.1:0",
    LOG_LEVEL: "warn",
    ...variables,
  });
  const output = () => command.stdout() + command.stderr();
  const url = await new Promise<string>((resolve, reject) => {
    command.child.stdout.on("data", () => {
      const match = /user-bridge serves at (\S+)\n.*\n\n.+\n$/s.exec(command.stdout());
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    void command.ended.then((exit) => reject(new Error(`ended with ${JSON.stringify(exit)}: ${output()}`)));
  });
  return {
    child: command.child,
    url,
    internalUrl: /^internal: (\S+)$/m.exec(command.stdout())?.[1],
    output,
    stop(signal) {
      command.child.kill(signal);
      return command.ended;
    },
  };
}
