import { existsSync, readdirSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { undoAtEnd } from "./clean-up.ts";
import { findFreePort, run } from "./process.ts";

/** A running throw-away cluster. */
export interface Postgres {
  /** Such as `PostgreSQL 17.2`. */
  readonly version: string;
  /** The URL of a database of the cluster. */
  url(database: string): string;
}

/** What differs from PostgreSQL's defaults; durability does not. For the tables in the results. */
export const postgresSettings = {
  max_connections: "200",
  // The fan-out's delay counts from the commit.
  track_commit_timestamp: "on",
} as const;

/**
 * Starts a cluster, which lasts until the run ends, with its data on disk and default durability: fsync, synchronous_commit and full_page_writes
 * are on. PostgreSQL refuses to run as root, so root runs it as the user that Debian's package makes.
 *
 * @throws where no PostgreSQL is installed
 */
export async function startPostgres(): Promise<Postgres> {
  const binaries = findBinaries();
  // Not a directory of the user's own: the user postgres must be able to walk to it.
  const directory = await mkdtemp(join(tmpdir(), "user-bridge-bench-"));
  const asRoot = process.getuid?.() === 0;
  const data = join(directory, "data");
  const control = join(binaries, "pg_ctl");

  async function asPostgres(command: [string, ...string[]]): Promise<string> {
    if (!asRoot) return run(command, { survives: true });
    const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    return run(["su", "postgres", "-s", "/bin/sh", "-c", `cd / && ${quoted}`], { survives: true });
  }

  const close = undoAtEnd(async () => {
    await asPostgres([control, "--pgdata", data, "--mode", "immediate", "stop"]).catch(() => {});
    await rm(directory, { recursive: true, force: true });
  });

  try {
    if (asRoot) {
      await chown(directory, Number(await run(["id", "-u", "postgres"])), -1);
    }
    const locale = ["--encoding", "UTF8", "--locale", "C.UTF-8"];
    const trust = ["--username", "postgres", "--auth", "trust"];
    await asPostgres([join(binaries, "initdb"), "--pgdata", data, ...trust, ...locale]);
    const port = await findFreePort();
    const settings = {
      ...postgresSettings,
      listen_addresses: "127.0.0.1",
      port: `${port}`,
      unix_socket_directories: directory,
    };
    const flags = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
    const log = join(directory, "log");
    const options = ["--log", log, "--wait", "--options", flags.join(" ")];
    await asPostgres([control, "--pgdata", data, ...options, "start"]);
    const version = await run([join(binaries, "postgres"), "--version"]);
    return {
      version: version
        .replace("(PostgreSQL)", "")
        .replace("postgres", "PostgreSQL")
        .replaceAll(/\s+/g, " ")
        .trim(),
      url: (database) => `postgres://postgres@127.0.0.1:${port}/${database}`,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The folder of the newest PostgreSQL: Debian's, which is in no PATH, or else the PATH's. */
function findBinaries(): string {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  const found = folders.find((folder) => existsSync(join(folder, "initdb")));
  if (found === undefined) {
    throw new Error("the benchmarks need PostgreSQL's initdb: install the package postgresql");
  }
  return found;
}
