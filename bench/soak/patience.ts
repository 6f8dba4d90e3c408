import { setTimeout as delay } from "node:timers/promises";
import { codeOf } from "./tally.ts";

const tries = 60;
const pauseMs = 500;

/** Does what the run cannot do without, again and again while the server is busy: a busy machine is no fault of its. */
export async function whileBusy<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let left = tries; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !["ResourceExhausted", "Unavailable"].includes(codeOf(causeOf(error)))) throw error;
      await delay(pauseMs);
    }
  }
}

/** What a helper has wrapped. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.name === "Refusal" ? error.cause : error;
}
