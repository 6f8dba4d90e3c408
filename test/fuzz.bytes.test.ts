import assert from "node:assert/strict";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createSuperuser, onDatabase } from "./support/credentials.ts";
import { backends } from "./support/databases.ts";
import { http2Conversations } from "./support/fuzz-frames.ts";
import { http1Conversations } from "./support/fuzz-http1.ts";
import { createTlsFiles, type HealthyClient, openHealthyClient } from "./support/fuzz-program.ts";
import { fuzzSettings } from "./support/fuzz-settings.ts";
import { type Leave, talk } from "./support/fuzz-talk.ts";
import { findLeaks } from "./support/fuzz-verdict.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

/** One connection: what it says, and how it ends. */
type Conversation = readonly [chunks: Buffer[], leave: Leave];

const conversations: fc.Arbitrary<Conversation[]> = fc.array(
  fc.tuple(fc.oneof(http2Conversations, http1Conversations), fc.constantFrom<Leave>("end", "reset", "wait")),
  { minLength: 1, maxLength: 25, size: "max" },
);

describe("a process", () => {
  for (const lane of ["on", "off"]) {
    for (const isTls of [false, true]) {
      test(`survives any bytes, with the lane ${lane}, ${isTls ? "over TLS" : "in cleartext"}`, async (t) => {
        const { program, healthy } = await startTarget(t, lane, isTls);
        const { url, internalUrl } = program;
        assert.ok(internalUrl);
        // Also what is not even TLS, where TLS is spoken.
        const urls = [url, internalUrl, ...(isTls ? [url.replace("https:", "http:")] : [])];
        await healthy.check();
        const sockets = countSockets(program);
        const property = fc.asyncProperty(conversations, async (batch) => {
          const faults = await Promise.all(
            batch.map(async ([chunks, leave], index) =>
              findFaults(await talk(urls[index % urls.length] as string, chunks, leave)),
            ),
          );
          assert.equal(program.child.exitCode, null, program.output());
          await healthy.check();
          assert.deepEqual(faults.flat(), []);
        });
        await fc.assert(property, fuzzSettings(15));
        // Its own connection may have been made anew since, or not.
        healthy.close();
        await withDeadline(
          "connections to close",
          untilAtMost(sockets, () => countSockets(program)),
        );
        // Failures that were not foreseen are logged as errors.
        assert.doesNotMatch(program.output(), /"level":[56]0/);
        assert.deepEqual(await program.stop("SIGTERM"), { code: 0, signal: null });
      });
    }
  }
});

async function startTarget(
  t: TestContext,
  lane: string,
  isTls: boolean,
): Promise<{ program: ServerProcess; healthy: HealthyClient }> {
  const [embedded] = backends;
  assert.ok(embedded);
  const onEnd = (cleanUp: () => Promise<unknown>) => cleanUpAfter(t, cleanUp);
  const database = await embedded.create();
  onEnd(database.drop);
  // Without anybody who could call, it would not start.
  await onDatabase(database.config, createSuperuser);
  const tls = isTls ? await createTlsFiles(onEnd) : undefined;
  const program = await startServerProcess({
    ...database.variables,
    AUTH: "on",
    REFLECTION: "on",
    LANE: lane,
    ...(tls !== undefined && { TLS_CERT: tls.certPath, TLS_KEY: tls.keyPath, INTERNAL_TLS: "on" }),
  });
  onEnd(() => program.stop("SIGKILL"));
  const healthy = openHealthyClient(program.url, undefined);
  onEnd(async () => healthy.close());
  return { program, healthy };
}

/** Compressed header blocks of HTTP/2 cannot be read here: what they say is checked where calls are whole. */
function findFaults(answer: Buffer): string[] {
  const text = answer.toString("latin1");
  const faults = findLeaks(text);
  if (/HTTP\/1\.1 500/.test(text)) faults.push(`HTTP status 500: ${text.slice(0, 500)}`);
  return faults;
}

/** Open sockets; always 0 where the system does not tell. */
function countSockets({ child }: ServerProcess): number {
  const directory = `/proc/${child.pid}/fd`;
  if (!existsSync(directory)) return 0;
  return readdirSync(directory).filter((name) => isSocket(join(directory, name))).length;
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith("socket:");
  } catch {
    // Closed in the meantime.
    return false;
  }
}

/** Polled, since nobody tells: another process's sockets. */
async function untilAtMost(limit: number, read: () => number): Promise<void> {
  while (read() > limit) await setTimeout(50);
}
