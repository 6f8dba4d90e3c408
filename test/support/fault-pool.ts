import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client as PostgresClient } from "pg";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { OwnPostgres } from "./own-postgres.ts";
import { withDeadline } from "./with-deadline.ts";

const serverConnections = "application_name = 'user-bridge' and backend_type = 'client backend'";

const callTimeoutMs = 3_000;

/** Waits until no connection of the server's pool works for anybody, and checks that there are no more than it may have. */
export async function untilPoolIsIdle(postgres: OwnPostgres, poolSize: number): Promise<void> {
  const isIdle = async () => {
    const rows = await postgres.query<{ state: string }>(
      `select state from pg_stat_activity where ${serverConnections}`,
    );
    assert.ok(rows.length <= poolSize, `${rows.length} connections of a pool of ${poolSize}`);
    return rows.every(({ state }) => state === "idle");
  };
  const idle = async () => {
    while (!(await isIdle())) await setImmediate();
  };
  await withDeadline("an idle pool", idle());
}

/**
 * Checks that none of the pool's connections has been lost to a call that is long over: with the users locked, as many
 * calls as it has connections reach the database at once.
 */
export async function checkWholePool(url: string, postgres: OwnPostgres, poolSize: number): Promise<void> {
  const users = createClient(UserService, createGrpcTransport({ baseUrl: url }));
  const locker = new PostgresClient({ connectionString: postgres.url });
  await locker.connect();
  let isChecked = false;
  /** A connection that broke while it was idle is found out by whoever uses it next, at the cost of a call. */
  const callUntilAnswered = async (): Promise<void> => {
    for (;;) {
      const failure = await users.listUsers({ pageSize: 1 }, { timeoutMs: callTimeoutMs }).then(
        () => undefined,
        (error: ConnectError) => error,
      );
      if (failure === undefined || isChecked) return;
      assert.equal(Code[failure.code], "DeadlineExceeded", failure.message);
    }
  };
  try {
    await locker.query("begin; lock table users in access exclusive mode");
    const callers = Array.from({ length: poolSize }, callUntilAnswered);
    await withDeadline("a call on each connection of the pool", untilAllWait(postgres, poolSize));
    isChecked = true;
    await locker.query("commit");
    await Promise.all(callers);
  } finally {
    isChecked = true;
    await locker.end();
  }
}

async function untilAllWait(postgres: OwnPostgres, poolSize: number): Promise<void> {
  for (let count = 0; count < poolSize; await setImmediate()) {
    const rows = await postgres.query(
      `select from pg_stat_activity where ${serverConnections} and wait_event_type = 'Lock'`,
    );
    count = rows.length;
  }
}
