import { Command } from "commander";
import { findSigner, isRetired, type SigningKeyRecord } from "../auth/signing-key.ts";
import { listSigningKeys, rotateSigningKeys } from "./keys-database.ts";

const help = `
The database is the one that serve would use. The embedded one must not be in use: stop its server first. On
PostgreSQL, running servers take up what changes within seconds.`;

const rotateHelp = `
A new key is made and published; half an hour later it takes over. The old one stays published until the last token
that it signed has expired.

With --now, the new key signs at once and all others are good for nothing from now on: every access and service token
issued so far ends. Refresh tokens stay good, so clients that refresh stay logged in. Verifiers that have kept an old
key set refuse new tokens, and accept forged ones, until they fetch it anew.
${help}`;

/** `user-bridge keys`: lists and rotates the keys that sign tokens. */
export function keysCommand(variables: NodeJS.ProcessEnv): Command {
  const keys = new Command("keys").description("list or rotate the keys that sign tokens");
  keys
    .command("list")
    .description("print the signing keys, one a line: id, state, signs from, retires at")
    .addHelpText("after", help)
    .action(async () => {
      const found = await listSigningKeys(variables);
      const now = Date.now();
      for (const key of found.toSorted((one, other) => one.signsFromMs - other.signsFromMs)) {
        process.stdout.write(`${describeKey(key, found, now)}\n`);
      }
    });
  keys
    .command("rotate")
    .description("make a new signing key")
    .option("--now", "let it sign at once and retire all others, because one has leaked")
    .addHelpText("after", rotateHelp)
    .action(async (options: { now?: true }) => {
      const key = await rotateSigningKeys(variables, options.now === true);
      const what = key.signsFromMs <= Date.now() ? "signs now" : `signs from ${formatTime(key.signsFromMs)}`;
      process.stdout.write(`key ${key.kid} ${what}\n`);
    });
  return keys;
}

function describeKey(key: SigningKeyRecord, all: readonly SigningKeyRecord[], now: number): string {
  const retires = key.retiresAtMs === undefined ? "-" : formatTime(key.retiresAtMs);
  return [key.kid, describeState(key, all, now), formatTime(key.signsFromMs), retires].join("  ");
}

function describeState(key: SigningKeyRecord, all: readonly SigningKeyRecord[], now: number): string {
  if (isRetired(key, now)) return "retired  ";
  if (findSigner(all, now)?.kid === key.kid) return "signs    ";
  return key.signsFromMs > now ? "published" : "verifies ";
}

function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
