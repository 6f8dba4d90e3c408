import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const suiteModule = "connectrpc.com/conformance";
const suiteVersion = "v1.0.7";

const root = join(import.meta.dirname, "../..");
/** Outside node_modules, where Node strips no types; git ignores it. */
const cacheDir = join(root, ".cache/conformance");

/** The suite cannot be had on this machine; the message says what to do. */
export class SuiteUnavailableError extends Error {
  override readonly name = "SuiteUnavailableError";
}

/**
 * Builds the suite's runner, once.
 *
 * @returns the program's path
 * @throws SuiteUnavailableError where there is no Go
 */
export function installRunner(): string {
  const binDir = join(cacheDir, suiteVersion);
  const runner = join(binDir, "connectconformance");
  if (!existsSync(runner)) {
    go(["install", `${suiteModule}/cmd/connectconformance@${suiteVersion}`], { GOBIN: binDir });
  }
  return runner;
}

/**
 * Generates the TypeScript of the suite's contract from the .proto files of the same version as its runner.
 * It goes where `server.ts` imports it from.
 *
 * @throws SuiteUnavailableError where there is no Go
 */
export function generateContract(): void {
  const download: unknown = JSON.parse(go(["mod", "download", "-json", `${suiteModule}@${suiteVersion}`]));
  const { Dir: moduleDir } = download as { readonly Dir: string };
  const template = {
    version: "v2",
    clean: true,
    plugins: [
      {
        local: [process.execPath, join(root, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")],
        out: join(cacheDir, "gen"),
        opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
      },
    ],
  };
  execFileSync(process.execPath, [
    join(root, "node_modules/@bufbuild/buf/bin/buf"),
    "generate",
    moduleDir,
    "--template",
    JSON.stringify(template),
  ]);
}

function go(args: readonly string[], variables: NodeJS.ProcessEnv = {}): string {
  try {
    return execFileSync("go", args, {
      // Not inside a Go module of ours, whose versions would get a say.
      cwd: root,
      env: { ...process.env, ...variables },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new SuiteUnavailableError(
        "the conformance suite's runner is a Go program, and there is no `go` here: install Go 1.26 or later (https://go.dev/dl/)",
      );
    }
    throw new SuiteUnavailableError(`go ${args.join(" ")} failed; its own words are above`, { cause: error });
  }
}
