import { Command, InvalidArgumentError } from "commander";
import type { IssuedApiKey, RotatedApiKey } from "../api-keys/api-key.service.ts";
import { type ApiKey, maxGraceMs, maxTimeToLiveMs } from "../api-keys/api-key.ts";
import { commandPrincipal } from "../platform/principal.ts";
import { parseDuration } from "../platform/units.ts";
import { commandCaller } from "../writes/command-caller.ts";
import { describeApiKey, describeEnd } from "./api-key-line.ts";
import { withApiKeys } from "./api-keys-database.ts";

const help = `
The database is the one that serve would use. The embedded one must not be in use: stop its server first. On
PostgreSQL, running servers know within a second.`;

const secretHelp = `
The key is printed alone on standard output, this once: the database has only a hash of it. Everything else goes to
standard error.`;

const createHelp = `${secretHelp}
${help}

Example:
  $ user-bridge api-keys create --name reports --scope users:read events:read --expires-in 90d > reports.key`;

const rotateHelp = `
The new key has the name, the scopes and the expiry of the present one. That is revoked, unless a grace period lets
both be good for a while. A key can be rotated once; then it is the new one's turn.
${secretHelp}
${help}`;

interface CreateOptions {
  readonly name: string;
  readonly scope: readonly string[];
  readonly expiresIn?: number;
}

/** `user-bridge api-keys`: API keys, without a server. */
export function apiKeysCommand(variables: NodeJS.ProcessEnv): Command {
  const keys = new Command("api-keys").description("create, list, revoke or rotate API keys");
  keys
    .command("create")
    .description("create an API key and print it")
    .requiredOption("--name <name>", "what it is for")
    .option("--scope <permission...>", "what it may do, such as users:read", [])
    .option(
      "--expires-in <time>",
      "how long it is good, such as 90d (default: until it is revoked)",
      parseTtl,
    )
    .addHelpText("after", createHelp)
    .action((options: CreateOptions) => createKey(variables, options));
  keys
    .command("list")
    .description("print the API keys, newest first: id, beginning, state, last used, expiry, scopes, name")
    .addHelpText("after", help)
    .action(() => listKeys(variables));
  keys
    .command("revoke")
    .description("end an API key")
    .argument("<id>", "the key's id, as list prints it")
    .addHelpText("after", help)
    .action((id: string) => revokeKey(variables, id));
  keys
    .command("rotate")
    .description("replace an API key and print the new one")
    .argument("<id>", "the key's id, as list prints it")
    .option("--grace <time>", "how long the present key stays good, such as 1h", parseGrace, 0)
    .addHelpText("after", rotateHelp)
    .action((id: string, options: { grace: number }) => rotateKey(variables, id, options.grace));
  return keys;
}

async function createKey(variables: NodeJS.ProcessEnv, options: CreateOptions): Promise<void> {
  const command = "api-keys create";
  const input = {
    name: options.name,
    scopes: options.scope,
    timeToLiveMs: options.expiresIn,
    createdBy: commandPrincipal(command).actor,
  };
  const caller = commandCaller<IssuedApiKey>(command, ({ key }) => key.id);
  const { key, secret } = await withApiKeys(variables, (keys) => keys.create(input, caller));
  process.stdout.write(`${secret}\n`);
  explain(`created key ${key.id}, ${describeEnd(key)}`);
}

async function listKeys(variables: NodeJS.ProcessEnv): Promise<void> {
  await withApiKeys(variables, async (keys) => {
    const now = new Date();
    for (let token = ""; ; ) {
      const page = await keys.list({ size: 1_000, token });
      for (const key of page.keys) process.stdout.write(`${describeApiKey(key, now)}\n`);
      if (page.nextToken === "") return;
      token = page.nextToken;
    }
  });
}

async function revokeKey(variables: NodeJS.ProcessEnv, id: string): Promise<void> {
  const caller = commandCaller<ApiKey>("api-keys revoke", (key) => key.id);
  const key = await withApiKeys(variables, (keys) => keys.revoke(id, caller));
  explain(`key ${key.id} is revoked since ${key.revokedAt?.toISOString()}`);
}

async function rotateKey(variables: NodeJS.ProcessEnv, id: string, graceMs: number): Promise<void> {
  const command = "api-keys rotate";
  const caller = commandCaller<RotatedApiKey>(command, ({ replaced }) => replaced.id);
  const rotation = { graceMs, createdBy: commandPrincipal(command).actor };
  const { key, secret, replaced } = await withApiKeys(variables, (keys) => keys.rotate(id, rotation, caller));
  process.stdout.write(`${secret}\n`);
  explain(`created key ${key.id}, ${describeEnd(key)}; key ${replaced.id} is ${describeEnd(replaced)}`);
}

function explain(text: string): void {
  process.stderr.write(`user-bridge: ${text}\n`);
}

function parseTtl(text: string): number {
  return parseTime(text, 1_000, maxTimeToLiveMs, "from 1s to 3652d");
}

function parseGrace(text: string): number {
  return parseTime(text, 0, maxGraceMs, "of at most 365d");
}

function parseTime(text: string, minimumMs: number, maximumMs: number, range: string): number {
  const timeMs = parseDuration(text);
  if (timeMs === undefined || timeMs < minimumMs || timeMs > maximumMs) {
    throw new InvalidArgumentError(`a time is a number and s, m, h or d, ${range}.`);
  }
  return timeMs;
}
