import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { expectError } from "./support/expect-error.ts";
import { startFaultServer } from "./support/fault-system.ts";
import type { WireMessage } from "./support/fault-wire.ts";
import { usersAt, withKey } from "./support/keyed-calls.ts";
import { type OwnPostgres, whyNoOwnPostgres } from "./support/own-postgres.ts";
import { withDeadline } from "./support/with-deadline.ts";

type When = (message: WireMessage) => boolean;

const isCommit: When = ({ from, text }) => from === "client" && text.startsWith("commit\0");
const isCommitted: When = ({ type, text }) => type === "C" && text === "COMMIT\0";
const isStatementDone: When = ({ type }) => type === "C";
const isReadyAgain: When = ({ type }) => type === "Z";

/** Where a connection is cut, and whether the write has happened by then. */
const cuts: readonly (readonly [write: "registration" | "update", cut: string, When, Moment, boolean])[] = [
  ["update", "before the commit is sent", isCommit, "before", false],
  ["update", "once the commit is sent", isCommit, "after", true],
  ["update", "before the commit is answered", isCommitted, "before", true],
  ["update", "in the middle of the commit's answer", isCommitted, "after", true],
  ["registration", "before its statement is answered", isStatementDone, "before", true],
  ["registration", "in the middle of its statement's answer", isStatementDone, "after", true],
  ["registration", "before the end of its statement's answer", isReadyAgain, "before", true],
];

type Moment = "before" | "after";

const title =
  "a write whose commit is cut off is never called a success, and a repetition with its key happens once";

test(title, { skip: whyNoOwnPostgres }, async (t) => {
  const { postgres, proxy, server } = await startFaultServer(t);
  const users = usersAt(server.url);
  const { id } = await users.registerUser({ email: "first@example.com", username: "first" });

  for (const [write, cut, when, moment, isKept] of cuts) {
    await t.test(`${write}, cut ${cut}`, async () => {
      const username = `m${randomUUID().replaceAll("-", "").slice(0, 20)}`;
      const email = `${username}@example.com`;
      const key = withKey(randomUUID());
      const send = async (): Promise<string | undefined> =>
        write === "update"
          ? (await users.updateUser({ user: { id, email }, updateMask: { paths: ["email"] } }, key)).user
              ?.email
          : (await users.registerUser({ email, username }, key)).email;

      const happened = proxy.cutAt(behind(username, when), moment);
      await expectError(send(), { code: Code.Unavailable, reason: "DATABASE_UNAVAILABLE" });
      await withDeadline("the cut", happened);
      await untilNobodyWrites(postgres);
      assert.equal(await countEvents(postgres, email), isKept ? 1 : 0);

      assert.equal(await send(), email);
      assert.equal(await send(), email);
      assert.equal(await countEvents(postgres, email), 1);
    });
  }
});

/** Holds for what comes behind a text, on its connection. */
function behind(mark: string, when: When): When {
  let connection: number | undefined;
  return (message) => {
    if (message.from === "client" && message.text.includes(mark)) connection = message.connection;
    return message.connection === connection && when(message);
  };
}

/** What was sent before a connection broke, PostgreSQL still carries out. */
async function untilNobodyWrites(postgres: OwnPostgres): Promise<void> {
  const isWriting = async () => {
    const rows = await postgres.query(
      "select from pg_stat_activity where application_name = 'user-bridge' and backend_xid is not null",
    );
    return rows.length > 0;
  };
  const nobody = async () => {
    while (await isWriting()) await setImmediate();
  };
  await withDeadline("the end of all transactions", nobody());
}

async function countEvents(postgres: OwnPostgres, email: string): Promise<number> {
  const rows = await postgres.query("select from user_events where payload ->> 'email' = $1", [email]);
  return rows.length;
}
