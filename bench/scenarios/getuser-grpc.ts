import type { Context, Scenario } from "../harness/context.ts";
import { measureRounds } from "../harness/rounds.ts";
import { describeLoops, loopMetrics, measureLoops } from "./loops.ts";

/** Looks users up by email over gRPC: as fast as it goes, then at a fixed rate. */
export const getUserGrpc: Scenario = {
  name: "getuser-grpc",
  async run(context: Context) {
    const { options } = context;
    const measured = await measureRounds(context, ["grpc"], {}, (server) =>
      measureLoops(context, server, { body: "lookup" }),
    );
    return {
      name: "getuser-grpc",
      title: "GetUser by email, gRPC",
      method:
        `Each call looks up one of ${options.users.toLocaleString("en")} users, at random, through Postgres; ` +
        describeLoops(context),
      chart: { key: "callsPerSecond", title: "GetUser, gRPC: calls/s" },
      metrics: loopMetrics(options),
      ...measured,
    };
  },
};
