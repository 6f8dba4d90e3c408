import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Context, Scenario } from "../harness/context.ts";
import { cache } from "../harness/places.ts";
import { hasCommand, run } from "../harness/process.ts";
import { callMetrics, measureRounds, sampleCalls } from "../harness/rounds.ts";
import { closedLoop, describeClosedLoop } from "./flags.ts";

/** A GetUserRequest with the email user-1@example.com. */
export const emptyRequest = Buffer.concat([Buffer.from([0x0a, 18]), Buffer.from("user-1@example.com")]);

/** Calls a handler that does nothing: what remains is the protocol. */
export const emptyGrpc: Scenario = {
  name: "empty-grpc",
  async run(context: Context) {
    const withH2load = await hasCommand("h2load");
    const measured = await measureRounds(context, ["empty", "echo"], { empty: true }, async (server) => {
      const target = { address: server.address, "server-pid": server.pid };
      const body = { body: emptyRequest.toString("hex") };
      const ours = sampleCalls(
        await context.load.calls("unary", { ...closedLoop(context), ...target, ...body }),
      );
      return withH2load
        ? {
            ...ours,
            metrics: { ...ours.metrics, h2loadPerSecond: await crossCheck(context, server.address) },
          }
        : ours;
    });
    return {
      name: "empty-grpc",
      title: "An empty handler, gRPC",
      method:
        `GetUser answers an empty message at once, without a database; ${describeClosedLoop(context)}. ` +
        "node-http2-echo is the floor: a bare node:http2 server that sends each body back. h2load, with the same " +
        "body and concurrency, cross-checks our load generator.",
      chart: { key: "callsPerSecond", title: "Empty handler, gRPC: calls/s" },
      metrics: [...callMetrics, { key: "h2loadPerSecond", title: "calls/s by h2load", digits: 0 }],
      ...measured,
    };
  },
};

async function crossCheck({ options }: Context, address: string): Promise<number> {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(emptyRequest.length, 1);
  const file = join(cache, "empty-request.bin");
  await mkdir(cache, { recursive: true });
  await writeFile(file, Buffer.concat([prefix, emptyRequest]));
  const output = await run([
    "h2load",
    "--clients",
    `${options.connections}`,
    "--max-concurrent-streams",
    `${options.streams}`,
    // h2load takes whole seconds, which are too many for a smoke run.
    ...(options.smoke ? ["--requests", "200"] : ["--duration", `${Math.ceil(options.seconds)}`]),
    "--data",
    file,
    "--header",
    "content-type: application/grpc",
    "--header",
    "te: trailers",
    `http://${address}/users.v1.UserService/GetUser`,
  ]);
  const match = /finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(output);
  return Number(match?.[1] ?? 0);
}
