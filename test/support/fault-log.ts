import assert from "node:assert/strict";
import { createClient, type Transport } from "@connectrpc/connect";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import type { WholeLog } from "./event-archive.ts";
import type { LogAccess, PlainUser } from "./log-access.ts";

/** Reads the whole log as a client gets it, and checks that its revisions are dense from 1 to the head. */
export async function readLog(access: LogAccess): Promise<WholeLog> {
  const everything = { types: [], userIds: [], progressIntervalMs: 60_000 };
  const leaving = new AbortController();
  const now = await access.stream({ start: "now", ...everything }, leaving.signal).next();
  const end: bigint = now.done ? assert.fail("the stream has ended") : now.value.revision;
  const log: WholeLog[number][] = [];
  for await (const item of access.stream({ start: "earliest", ...everything }, leaving.signal)) {
    if (item.event !== undefined) log.push(item.event);
    assert.equal(item.revision, BigInt(log.length), "revisions are not dense");
    if (item.revision === end) break;
  }
  leaving.abort();
  return log;
}

/** Reads all users, by id, page by page. */
export async function listUsers(transport: Transport): Promise<PlainUser[]> {
  const client = createClient(UserService, transport);
  const users: PlainUser[] = [];
  let pageToken = "";
  do {
    const page = await client.listUsers({ pageSize: 100, pageToken });
    for (const { id, email, username, isActive, createdAt } of page.users) {
      users.push({ id, email, username, isActive, createdAt });
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return users;
}
