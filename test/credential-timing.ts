/**
 * `node test/credential-timing.ts [rounds]`: whether the time that a refusal takes tells something about the credential.
 * Kinds are asked in turn, over one connection each, in a random order within each round; for each it prints the median
 * and the 10 % trimmed mean, and the ratio to those of the first. The first kind is there twice: the ratio of the two is
 * the noise. A check of this would fail at random; people read it.
 */
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { createApiKey } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { openRawClient } from "./support/raw-call.ts";
import { startGuardedApp } from "./support/test-app.ts";

const rounds = Number(process.argv[2] ?? 3_000);
const warmUps = 300;
const scopes = ["users:read"];

for (const backend of backends) {
  const cleanUps: (() => Promise<void>)[] = [];
  const app = await startGuardedApp(
    (cleanUp) => void cleanUps.push(cleanUp),
    backend,
    { reflection: false },
    async (database) => {
      const [revoked, expired] = [
        await createApiKey(database, scopes),
        await createApiKey(database, scopes, new Date(Date.now() - 60_000)),
      ];
      await database
        .updateTable("api_keys")
        .set({ revoked_at: new Date() })
        .where("id", "=", revoked.id)
        .execute();
      return { revoked: revoked.secret, expired: expired.secret };
    },
  );
  const { revoked, expired } = app.prepared;
  const [header = "", claims = "", signature = ""] = app.token.split(".");
  const forged = `${header}.${claims}.${signature.split("").reverse().join("").slice(0, -1)}A`;
  const unknown = mintApiKey().secret;
  const kinds: Readonly<Record<string, () => string>> = {
    "an unknown key": () => unknown,
    "the same, again": () => unknown,
    "a revoked key": () => revoked,
    "an expired key": () => expired,
    "a malformed key": () => `${unknown.slice(0, -1)}_`,
    "a new unknown key each time": () => mintApiKey().secret,
    "a token with a wrong signature": () => forged,
    "a malformed token": () => "malformed",
  };
  const clients = new Map(Object.keys(kinds).map((name) => [name, openRawClient(app.url)]));
  const times = new Map<string, number[]>(Object.keys(kinds).map((name) => [name, []]));
  for (let round = -warmUps; round < rounds; round++) {
    const order = Object.entries(kinds)
      .map((kind) => ({ kind, at: Math.random() }))
      .sort((one, other) => one.at - other.at);
    for (const { kind } of order) {
      const [name, credential] = kind;
      const call = {
        httpVersion: 1,
        method: "POST",
        path: "/users.v1.UserService/ListUsers",
        headers: [
          ["content-type", "application/json"],
          ["authorization", `Bearer ${credential()}`],
        ],
        body: Buffer.from("{}"),
      } as const;
      const startedAt = performance.now();
      const answer = await clients.get(name)?.send(call);
      const tookMs = performance.now() - startedAt;
      if (answer?.status !== 401) throw new Error(`${name}: ${answer?.status}`);
      if (round >= 0) times.get(name)?.push(tookMs);
    }
  }
  const [first = { median: 0, mean: 0 }] = [...times.values()].map(summarize);
  process.stdout.write(`${backend.name}, ${rounds} rounds\n`);
  for (const [name, list] of times) {
    const { median, mean } = summarize(list);
    process.stdout.write(
      `  ${name.padEnd(32)} median ${(median * 1_000).toFixed(0)} µs (${(median / first.median).toFixed(3)})` +
        `  mean ${(mean * 1_000).toFixed(0)} µs (${(mean / first.mean).toFixed(3)})\n`,
    );
  }
  for (const client of clients.values()) client.close();
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
}

function summarize(list: readonly number[]): { median: number; mean: number } {
  const sorted = [...list].sort((one, other) => one - other);
  const kept = sorted.slice(Math.floor(sorted.length * 0.1), Math.ceil(sorted.length * 0.9));
  return {
    median: sorted[Math.floor(sorted.length / 2)] ?? 0,
    mean: kept.reduce((sum, time) => sum + time, 0) / kept.length,
  };
}
