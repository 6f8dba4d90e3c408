import type { Context } from "../harness/context.ts";
import type { Flags } from "../harness/load.ts";

/** The load generator's flags for calls of a closed loop over gRPC. */
export function closedLoop({ options }: Context): Flags {
  return { ...timing(options), users: options.users, c: options.connections, m: options.streams };
}

/** How long a measurement and its warm-up take. */
export function timing(options: { seconds: number; warmUpSeconds: number }): Flags {
  return { warmup: `${options.warmUpSeconds}s`, duration: `${options.seconds}s` };
}

/** How a closed loop is described. */
export function describeClosedLoop({ options }: Context): string {
  return `closed loop, ${options.connections} connections with ${options.streams} calls in flight on each`;
}
