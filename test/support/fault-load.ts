import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { type HeaderFields, withFields } from "./callers.ts";
import { checkRecord } from "./fault-check.ts";
import { listUsers, readLog } from "./fault-log.ts";
import { type FaultReader, startFaultReader, untilRead } from "./fault-reader.ts";
import { createFaultRecord, type FaultRecord } from "./fault-record.ts";
import { runFaultWriter } from "./fault-writer.ts";
import { accessByClient } from "./log-access.ts";
import { createMilestones } from "./milestones.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { checkHistory, type StreamHistory } from "./stream-history.ts";
import { withDeadline } from "./with-deadline.ts";

/** Clients that go on whatever happens to the server, and know what they were told. */
export interface FaultLoad {
  readonly record: FaultRecord;
  /** Waits until so many more writes have been acknowledged. */
  afterWrites(count: number): Promise<void>;
  /** Has the writers finish what they have begun. */
  stopWriting(): Promise<void>;
  /**
   * Checks what they and the readers were told against what there is, by a server that works; the readers end.
   *
   * @param strangers emails of users that others have made
   */
  check(strangers?: readonly string[]): Promise<void>;
  /** Ends all of it, however it stands. */
  close(): Promise<void>;
}

/** How much of it. */
export interface FaultLoadOptions {
  readonly writers?: number;
  /** How long a call may take before its caller gives up. */
  readonly callTimeoutMs?: number;
  /** Whether the server's own end is a part of what happens. */
  readonly losesConnections?: boolean;
  /** Of each request. */
  readonly headers?: HeaderFields;
}

const filters = [
  { types: [], userIds: [] },
  { types: ["user_registered", "user_deleted"], userIds: [] },
  { types: ["user_updated"], userIds: [] },
];

/** A write whose outcome nobody knows may still come behind the log that was read. */
function upTo(history: StreamHistory, end: bigint): StreamHistory {
  return { ...history, items: history.items.filter(({ revision }) => revision <= end) };
}

/** So long that only a fault makes a call late, and no busy test machine. */
export const patientMs = 25_000;

/** Starts the clients, each over a connection of its own. */
export function startFaultLoad(
  random: SeededRandom,
  url: string,
  { writers = 6, callTimeoutMs = 2_000, headers = {}, losesConnections = false }: FaultLoadOptions = {},
): FaultLoad {
  const record = createFaultRecord(losesConnections);
  const stopping = new AbortController();
  const leaving = new AbortController();
  const connect = () => withFields(createGrpcTransport({ baseUrl: url }), headers);
  const writing = Promise.all(
    Array.from({ length: writers }, (_, index) => {
      const client = createClient(UserService, connect());
      const options = { name: `w${index}`, client, callTimeoutMs, signal: stopping.signal };
      return runFaultWriter(random.fork(), options, record);
    }),
  );
  const readers: readonly FaultReader[] = filters.map((filter) =>
    startFaultReader(
      accessByClient(connect()),
      { filter, startsAtLeast: 0n, startsAtMost: 0n, items: [] },
      createMilestones(),
      record,
      leaving.signal,
    ),
  );

  return {
    record,
    afterWrites: (count) =>
      withDeadline(`${count} acknowledged writes`, record.acknowledged.afterNext(count)),
    async stopWriting() {
      stopping.abort();
      await withDeadline("the writers' end", writing);
    },
    async check(strangers = []) {
      const log = await readLog(accessByClient(connect()));
      checkRecord(record, log, await listUsers(connect()), new Set(strangers));
      for (const reader of readers) await untilRead(reader, BigInt(log.length));
      leaving.abort();
      await Promise.all(readers.map(({ done }) => done));
      for (const { history } of readers) checkHistory(upTo(history, BigInt(log.length)), log);
    },
    async close() {
      record.isGivenUp = true;
      stopping.abort();
      leaving.abort();
      await Promise.allSettled([writing, ...readers.map(({ done }) => done)]);
    },
  };
}
