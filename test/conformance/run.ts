import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { generateContract, installRunner, SuiteUnavailableError } from "./suite.ts";

/**
 * Runs Connect's own conformance suite against the host, and exits with its status. Arguments go to the suite's
 * runner, e.g. `--trace` or `--run "Errors/**"`.
 */
async function run(runnerArguments: readonly string[]): Promise<number> {
  const runner = installRunner();
  generateContract();
  checkTypes();
  const server = [process.execPath, join(import.meta.dirname, "server.ts")];
  const configFile = join(import.meta.dirname, "config.yaml");
  const suite = spawn(
    runner,
    ["--mode", "server", "--conf", configFile, "-v", ...runnerArguments, "--", ...server],
    { stdio: "inherit" },
  );
  const [status] = (await once(suite, "exit")) as [number | null];
  return status ?? 1;
}

/** The check of the whole project leaves this folder out, since what it imports exists only from here on. */
function checkTypes(): void {
  const compiler = join(import.meta.dirname, "../../node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, "--project", import.meta.dirname], { stdio: "inherit" });
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SuiteUnavailableError)) {
    throw error;
  }
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
