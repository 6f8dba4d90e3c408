import type { Context, Scenario } from "../harness/context.ts";
import { callMetrics, measureRounds, sampleCalls } from "../harness/rounds.ts";
import { timing } from "./flags.ts";

/** Looks users up by email by Connect's JSON over HTTP/1.1. */
export const getUserConnect: Scenario = {
  name: "getuser-connect-json-http1",
  async run(context: Context) {
    const { options, load } = context;
    const measured = await measureRounds(context, ["connect-json-http1"], {}, async (server) => {
      const target = { address: server.http1Address, "server-pid": server.pid };
      const size = { users: options.users, c: options.http1Connections };
      return sampleCalls(await load.calls("http1", { ...timing(options), ...size, ...target }));
    });
    return {
      name: "getuser-connect-json-http1",
      title: "GetUser by email, Connect JSON over HTTP/1.1",
      method: `The same look-ups as JSON; closed loop, ${options.http1Connections} kept-alive connections with one call in flight on each.`,
      chart: { key: "callsPerSecond", title: "GetUser, JSON over HTTP/1.1: calls/s" },
      metrics: callMetrics,
      ...measured,
    };
  },
};
