import type { CallLogConfig } from "../../platform/config.ts";
import { LeftOutLines } from "../../platform/left-out-lines.ts";
import { LineBudget } from "../../platform/line-budget.ts";
import type { Logger } from "../../platform/logger.ts";
import { procedureOf } from "../../platform/policy.ts";
import type { CallTelemetry } from "../../server/call-life.ts";
import { type Gravity, gravityOf, nameOfCode, toCallLine } from "./call-line.ts";

/** The log of calls. */
export interface CallLog {
  readonly calls: CallTelemetry;
  /** Tells what has been left out so far. */
  close(): void;
}

/** Probes ask all the time: nobody wants to read it. */
const quietService = "grpc.health.v1.Health";

/** Each has a share of the lines: a flood of calls that are refused hides no failure of ours. */
const kinds = { ok: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<"ok" | Gravity, number>;

/** How long no line is looked for where there was none. */
const usedUpMs = 5;

/**
 * Creates the log: a line a call, when it ends, as far as there is room; the others are counted.
 *
 * @returns undefined where no calls are to be logged
 */
export function createCallLog(logger: Logger, config: CallLogConfig): CallLog | undefined {
  if (config.calls === "none") return undefined;
  const wantsAll = config.calls === "all";
  const budget = new LineBudget(config.maxLinesPerSecond, Object.keys(kinds).length, Date.now());
  // A level is set at the start: to look it up for each call costs more than all the rest.
  const isOn = {
    debug: logger.isLevelEnabled("debug"),
    info: logger.isLevelEnabled("info"),
    warn: logger.isLevelEnabled("warn"),
    error: logger.isLevelEnabled("error"),
  };
  // The least grave of those that can be seen.
  const countsLevel = isOn.info ? "info" : isOn.warn ? "warn" : "error";
  const leftOut = new LeftOutLines((counts) => logger[countsLevel]({ counts }, "calls not logged"));

  const usedUpAt: [number, number, number, number] = [0, 0, 0, 0];

  return {
    calls: {
      begun(method, scope) {
        // Now: at its end, a call's connection may be gone, and its address with it.
        const { address } = scope;
        if (!isOn.debug || !wantsAll || method.methodKind === "unary") return;
        if (!budget.take(kinds.ok, Date.now())) return leftOut.count("begun");
        const { requestId } = scope;
        logger.debug({ requestId, address, method: procedureOf(method) }, "a stream begins");
      },
      ended(call, scope) {
        const { error, method } = call;
        if (error === undefined && !wantsAll) return;
        const gravity = gravityOf(error);
        const level = method.parent.typeName === quietService ? "debug" : gravity;
        if (!isOn[level]) return;
        const kind = error === undefined ? kinds.ok : kinds[gravity];
        const now = Date.now();
        // Between two lines there is time, and no need to look for one: a clock that is put back does not end it.
        if (Math.abs(now - usedUpAt[kind]) < usedUpMs || !budget.take(kind, now)) {
          if (Math.abs(now - usedUpAt[kind]) >= usedUpMs) usedUpAt[kind] = now;
          return leftOut.count(nameOfCode(error));
        }
        logger[level](toCallLine(call, scope), "call");
      },
    },
    close: () => leftOut.tellNow(),
  };
}
