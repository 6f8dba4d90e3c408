import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { UserService } from "../../gen/users/v1/users_pb.ts";

/** What a client that behaves has seen. */
export interface NeighbourReport {
  readonly succeeded: number;
  /** What calls failed with. */
  readonly failures: readonly string[];
  readonly slowestMs: number;
}

/** A client that behaves, on a connection of its own, and calls all the while. */
export interface Neighbour {
  /** Waits until it has made so many more calls. */
  calls(count: number): Promise<void>;
  /** Makes no more. */
  stop(): Promise<NeighbourReport>;
}

/** The deadline of its calls: what edges set. */
const timeoutMs = 5_000;

/** Between two calls: it is there to be served, not to be a load itself. */
const restMs = 5;

/** Begins to register and look up users. */
export function startNeighbour(url: string): Neighbour {
  const sessionManager = new Http2SessionManager(url, {}, { rejectUnauthorized: false });
  const users = createClient(UserService, createGrpcTransport({ baseUrl: url, sessionManager }));
  const failures: string[] = [];
  let [succeeded, slowestMs, isStopped] = [0, 0, false];
  const running = run();

  async function run(): Promise<void> {
    while (!isStopped) {
      const begin = performance.now();
      try {
        await callOnce(users);
        succeeded++;
      } catch (error) {
        failures.push(String(error));
      }
      slowestMs = Math.max(slowestMs, performance.now() - begin);
      await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  }

  return {
    async calls(count) {
      const target = succeeded + failures.length + count;
      while (succeeded + failures.length < target)
        await new Promise((resolve) => setTimeout(resolve, restMs));
    },
    async stop() {
      isStopped = true;
      await running;
      sessionManager.abort();
      return { succeeded, failures, slowestMs: Math.round(slowestMs) };
    },
  };
}

/** A write and a read: both go to the database. */
async function callOnce(users: Client<typeof UserService>): Promise<void> {
  const suffix = crypto.randomUUID().slice(-12);
  const email = `neighbour.${suffix}@example.com`;
  const { id } = await users.registerUser({ email, username: `n${suffix}` }, { timeoutMs });
  const { user } = await users.getUser({ id }, { timeoutMs });
  if (user?.email !== email) throw new Error(`asked for ${email}, got ${user?.email}`);
}
