import type { Context, Scenario } from "../harness/context.ts";
import { callMetrics, measureRounds, sampleCalls } from "../harness/rounds.ts";
import { closedLoop, describeClosedLoop } from "./flags.ts";

/** Registers users durably over gRPC. */
export const registerGrpc: Scenario = {
  name: "register-grpc",
  async run(context: Context) {
    const measured = await measureRounds(context, ["register"], {}, async (server) => {
      const target = { address: server.address, "server-pid": server.pid };
      const body = { body: "register", prefix: context.nextPrefix() };
      return sampleCalls(await context.load.calls("unary", { ...closedLoop(context), ...target, ...body }));
    });
    return {
      name: "register-grpc",
      title: "RegisterUser, gRPC, durable",
      method:
        `Each call registers a new user and is answered when the commit is on disk; ${describeClosedLoop(context)}. ` +
        "user-bridge also appends an event and an audit entry in the same transaction; the peers insert the user only.",
      chart: { key: "callsPerSecond", title: "RegisterUser, gRPC, durable: calls/s" },
      metrics: callMetrics,
      ...measured,
    };
  },
};
