import type { HandlerContext } from "@connectrpc/connect";
import { LaneContext } from "./messages.ts";

/**
 * What `context.signal` says, for whoever looks and does not listen: whether nobody waits for the call any more, and
 * why. In the lane it costs nothing, while a signal that is made, and aborted at the call's end, takes a twentieth of
 * what a short call takes.
 */
export function callerOf(context: HandlerContext): Pick<AbortSignal, "aborted" | "reason"> {
  return context instanceof LaneContext ? context.caller : context.signal;
}
