import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { encodeCursor } from "../../src/events/cursor.ts";
import { stopwatch } from "../harness/clock.ts";
import type { Contender } from "../harness/contender.ts";
import type { Context, Scenario } from "../harness/context.ts";
import { createDatabase, withDatabase } from "../harness/database.ts";
import { callMetrics, type Sample, sampleCalls, toRow } from "../harness/rounds.ts";
import { findSubject } from "../harness/subject.ts";
import { closedLoop, describeClosedLoop } from "./flags.ts";

/** Resumes a round; the first is for warming up. */
const resumes = 6;

/** Compares a small database with a large one. */
export const growth: Scenario = {
  name: "growth",
  large: true,
  async run(context: Context) {
    const { options, contenders, postgres, say } = context;
    const subject = findSubject(contenders);
    say(`  seeding ${options.growthUsers} users and events`);
    const size = { users: options.growthUsers, events: options.growthUsers };
    const databases = [
      { name: `${options.users.toLocaleString("en")} users`, users: options.users, url: context.databaseUrl },
      {
        name: `${options.growthUsers.toLocaleString("en")} users and events`,
        users: options.growthUsers,
        url: await createDatabase(postgres, "bench_large", size),
      },
    ];
    const samples = databases.map((): Sample[] => []);
    for (let round = 1; round <= options.rounds; round += 1) {
      for (const [index, database] of databases.entries()) {
        say(`  round ${round}: ${database.name}`);
        const isLarge = index > 0;
        samples[index]?.push(await measure(context, subject, database, isLarge));
      }
    }
    return {
      name: "growth",
      title: "Growth: GetUser and resuming in a large database",
      method:
        `user-bridge, GetUser as above (${describeClosedLoop(context)}) in a small and in a large database; and, ` +
        "in the large one, the time from opening a stream at a cursor in the middle of its log to the first event.",
      metrics: [...callMetrics, { key: "resumeMs", title: "resume ms", digits: 1 }],
      rows: databases.map((database, index) => toRow(database.name, samples[index] ?? [])),
      skipped: [],
    };
  },
};

async function measure(
  context: Context,
  subject: Contender,
  database: { readonly url: string; readonly users: number },
  withResume: boolean,
): Promise<Sample> {
  const server = await subject.start({ databaseUrl: database.url, poolSize: context.options.poolSize });
  try {
    const target = { address: server.address, "server-pid": server.pid, users: database.users };
    const calls = sampleCalls(await context.load.calls("unary", { ...closedLoop(context), ...target }));
    if (!withResume) return calls;
    const resumeMs = await timeResume(`http://${server.address}`, database);
    return { ...calls, metrics: { ...calls.metrics, resumeMs } };
  } finally {
    await server.stop();
  }
}

/** The slowest of a few, each at another place around the middle of the log. Milliseconds. */
async function timeResume(
  baseUrl: string,
  database: { readonly url: string; readonly users: number },
): Promise<number> {
  const databaseId = await withDatabase(database.url, async (client) => {
    const { rows } = await client.query<{ database_id: string }>("select database_id from stream_head");
    return rows[0]?.database_id ?? "";
  });
  const client = createClient(UserService, createGrpcTransport({ baseUrl }));
  const times: number[] = [];
  for (let turn = 0; turn < resumes; turn += 1) {
    const revision = BigInt(Math.floor(database.users * (0.4 + 0.03 * turn)));
    const time = stopwatch();
    const end = new AbortController();
    const request = { afterCursor: encodeCursor({ databaseId, revision }) };
    try {
      for await (const event of client.streamUserEvents(request, { signal: end.signal })) {
        if (event.revision !== revision + 1n) throw new Error("the stream resumed at another place");
        times.push(time.milliseconds());
        break;
      }
    } finally {
      end.abort();
    }
  }
  return Math.max(...times.slice(1));
}
