import { cpus, release, totalmem, type } from "node:os";
import type { Contender } from "./contender.ts";
import { repository } from "./places.ts";
import { type Postgres, postgresSettings } from "./postgres.ts";
import { run } from "./process.ts";

/** What the numbers were measured on. */
export async function describeMachine(
  postgres: Postgres,
  contenders: readonly Contender[],
): Promise<Record<string, string>> {
  const processors = cpus();
  const settings = Object.entries(postgresSettings).map(([name, value]) => `${name}=${value}`);
  return {
    processor: `${processors.length} × ${processors[0]?.model.trim() ?? "unknown"}`,
    memory: `${Math.round(totalmem() / 1_024 ** 3)} GiB`,
    system: `${type()} ${release().split("-")[0]}`,
    "Node.js": process.version,
    Go: await first(["go", "env", "GOVERSION"]),
    Python: (await first(["python3", "--version"])).replace("Python ", ""),
    database: `${postgres.version}, defaults (fsync on) but ${settings.join(", ")}`,
    h2load: (await first(["h2load", "--version"])).replace("h2load ", ""),
    commit: await first(["git", "-C", repository, "describe", "--always", "--dirty"]),
    ...Object.fromEntries(contenders.map(({ name, title }) => [name, title])),
  };
}

/** What a command prints, or that it is not there. */
async function first(command: [string, ...string[]]): Promise<string> {
  return run(command).then(
    (output) => output.trim(),
    () => "none",
  );
}
