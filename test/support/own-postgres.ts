import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import { asPostgres, findBinaries, makeFolder, makeTemplate } from "./fault-postgres-files.ts";
import { childrenOf, signal, untilGone } from "./fault-processes.ts";
import { withDeadline } from "./with-deadline.ts";

/** A PostgreSQL server that belongs to one test, which may do to it whatever it likes. */
export interface OwnPostgres {
  readonly port: number;
  /** Of its one database. */
  readonly url: string;
  /** Starts it and waits until it takes connections. */
  start(): Promise<void>;
  /** SIGINT to the postmaster, as `pg_ctl stop -m fast` does, or SIGKILL; resolves when all its processes are gone. */
  stop(how: "fast" | "killed"): Promise<void>;
  /** SIGKILL to one of the processes that serve a connection of the application with this name. */
  killBackend(applicationName: string): Promise<void>;
  /** SIGSTOP to all its processes: connections stay, and nothing is answered. */
  freeze(): void;
  /** SIGCONT to all of them. */
  thaw(): void;
  /** Asks something beside the load. */
  query<Row extends object>(statement: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** Ends it and removes its data. */
  close(): Promise<void>;
}

/** Small, since several run at once; as durable as by default. */
const settings = { max_connections: "60", shared_buffers: "16MB", listen_addresses: "127.0.0.1" };

const run = promisify(execFile);

/** Why there can be no PostgreSQL of a test's own here; false where there can. */
export const whyNoOwnPostgres: string | false =
  findBinaries() === undefined
    ? "PostgreSQL's initdb is not installed"
    : !existsSync("/proc/self/stat") && "its processes are found in /proc, which is not here";

/** Starts one, with a data folder, a port and a socket of its own. */
export async function startOwnPostgres(): Promise<OwnPostgres> {
  const binaries = findBinaries() ?? "";
  const template = await makeTemplate(binaries);
  const directory = await makeFolder();
  const data = join(directory, "data");
  await run("cp", ["-a", template, data], asPostgres());
  const port = await findFreePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    const flags = Object.entries({ ...settings, port, unix_socket_directories: directory });
    const args = ["-D", data, ...flags.flatMap(([name, value]) => ["-c", `${name}=${value}`])];
    const options: SpawnOptions = { ...asPostgres(), stdio: ["ignore", "ignore", "pipe"] };
    const child = spawn(join(binaries, "postgres"), args, options);
    server = child;
    let output = "";
    const ready = new Promise<void>((resolve, reject) => {
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        // Whoever loads it makes it talk; only the beginning is of interest.
        if (output.length < 65_536) output += text;
        if (output.includes("ready to accept connections")) resolve();
      });
      child.once("exit", () => reject(new Error(`PostgreSQL has not started: ${output}`)));
    });
    await withDeadline("PostgreSQL's start", ready);
  }

  function processes(): number[] {
    return server?.pid === undefined ? [] : [server.pid, ...childrenOf(server.pid)];
  }

  async function stop(how: "fast" | "killed"): Promise<void> {
    const child = server;
    server = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ids = [child.pid, ...childrenOf(child.pid)];
    const ended = once(child, "exit");
    child.kill(how === "fast" ? "SIGINT" : "SIGKILL");
    await withDeadline("the postmaster's end", ended);
    // What outlives its postmaster holds the shared memory, and the next one would not start.
    await withDeadline("the end of PostgreSQL's processes", untilGone(ids));
  }

  async function query<Row extends object>(statement: string, parameters: readonly unknown[] = []) {
    const client = new Client({ connectionString: url });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query<Row>(statement, [...parameters])).rows;
    } finally {
      await client.end();
    }
  }

  await start();
  return {
    port,
    url,
    start,
    stop,
    query,
    async killBackend(applicationName) {
      const [row] = await query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name = $1 order by state = 'idle', pid limit 1",
        [applicationName],
      );
      if (row === undefined) throw new Error(`${applicationName} has no connection`);
      process.kill(row.pid, "SIGKILL");
    },
    freeze() {
      // The postmaster first: it makes no more processes then.
      for (const id of processes()) signal(id, "SIGSTOP");
      for (const id of processes()) signal(id, "SIGSTOP");
    },
    thaw() {
      for (const id of processes().reverse()) signal(id, "SIGCONT");
    },
    async close() {
      await stop("killed");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
}
