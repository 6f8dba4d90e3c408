import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Contender, launch } from "./contender.ts";
import type { Options } from "./options.ts";
import { bench } from "./places.ts";
import { hasCommand, run } from "./process.ts";

const command = z.tuple([z.string()], z.string());

/** bench/peers/<name>/peer.json: see bench/README.md. */
const description = z.object({
  /** For people, with versions; a peer's short name is its folder's. */
  name: z.string(),
  needs: z.array(z.string()),
  setup: command.nullable(),
  start: command,
  capabilities: z.array(z.string()),
});

type Description = z.infer<typeof description>;

/** How long a peer may take to fetch and build what it needs. */
const setupTimeoutMs = 600_000;

/** Reads all peers and sets up those that a run wants. What cannot run says why. */
export async function preparePeers(options: Options): Promise<readonly Contender[]> {
  const root = join(bench, "peers");
  const folders = existsSync(root) ? readdirSync(root).sort() : [];
  const peers: Contender[] = [];
  for (const name of folders) {
    const file = join(root, name, "peer.json");
    if (existsSync(file) && (options.peers === undefined || options.peers.includes(name))) {
      const peer = description.parse(JSON.parse(await readFile(file, "utf8")));
      peers.push(createPeer(name, peer, await prepare(peer, join(root, name), options)));
    }
  }
  const unknown = options.peers?.filter((name) => !peers.some((peer) => peer.name === name)) ?? [];
  if (unknown.length > 0) {
    throw new TypeError(`no such peer: ${unknown.join(", ")}`);
  }
  return peers;
}

/** Sets a peer up; returns why it cannot run, if it cannot. */
async function prepare(peer: Description, folder: string, options: Options): Promise<string | undefined> {
  for (const name of peer.needs) {
    if (!(await hasCommand(name))) return `needs ${name}`;
  }
  if (peer.setup === null) return undefined;
  // A smoke run has no minutes to fetch and build in, unless the peer was asked for by name.
  if (options.smoke && options.peers === undefined && !existsSync(join(folder, "build"))) {
    return "not built";
  }
  try {
    await run(peer.setup, { cwd: folder, timeoutMs: setupTimeoutMs });
    return undefined;
  } catch (error) {
    return `set-up failed: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
  }
}

function createPeer(name: string, peer: Description, unavailable: string | undefined): Contender {
  return {
    name,
    title: peer.name,
    capabilities: new Set(peer.capabilities),
    unavailable,
    start: (role) =>
      launch({
        command: peer.start,
        cwd: join(bench, "peers", name),
        ready: /^ready/m,
        variables: ({ port, http1Port }) => ({
          PORT: `${port}`,
          PORT_HTTP1: `${http1Port}`,
          DATABASE_URL: role.databaseUrl,
          POOL_SIZE: `${role.poolSize}`,
          ...(role.empty && { EMPTY: "1" }),
          ...(role.fanout && { FANOUT: "1" }),
          ...(role.jwks !== undefined && { JWKS: role.jwks }),
        }),
      }),
  };
}
