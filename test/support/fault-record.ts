import { Code, ConnectError } from "@connectrpc/connect";
import type { Step } from "./crash-writer.ts";
import { createMilestones, type Milestones } from "./milestones.ts";

/** What one writer has done to one of its users. */
export interface UserLedger {
  readonly username: string;
  id: string;
  /** What was acknowledged, in order. */
  readonly steps: Step[];
  /** A write behind them that may have happened or not; it is the last. */
  unknown: Step | undefined;
}

/** What all clients were told. */
export interface FaultRecord {
  readonly ledgers: UserLedger[];
  /** Users that were certainly not registered. */
  readonly refusedUsernames: string[];
  /** Passed by each acknowledged write. */
  readonly acknowledged: Milestones;
  lookedUp: number;
  /** Passed by each failure that may come. */
  readonly failed: Milestones;
  /** How often which status came. */
  readonly failures: Map<string, number>;
  /** What should never have happened, in words. */
  readonly unexpected: string[];
  /** Set to have writes that nobody answers given up. */
  isGivenUp: boolean;
  /** Takes note of a failure. @returns what it tells of a write: that it has not happened, or nothing */
  noteFailure(error: unknown, what: string): "refused" | "unknown";
}

/**
 * What calls may fail with while something is broken: it is away, it is late, or there are too many. Only the last is
 * a promise that nothing was kept.
 */
const excused: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted]);

/** What this client calls a connection that breaks under a call. */
const excusedOfBrokenConnections: ReadonlySet<Code> = new Set([Code.Canceled, Code.Aborted]);

/**
 * A record of nothing.
 *
 * @param losesConnections whether the server's own end is a part of what happens
 */
export function createFaultRecord(losesConnections = false): FaultRecord {
  const isExcused = (code: Code): boolean =>
    excused.has(code) || (losesConnections && excusedOfBrokenConnections.has(code));
  const record: FaultRecord = {
    ledgers: [],
    refusedUsernames: [],
    acknowledged: createMilestones(),
    failed: createMilestones(),
    lookedUp: 0,
    failures: new Map(),
    unexpected: [],
    isGivenUp: false,
    noteFailure(error, what) {
      const code = error instanceof ConnectError ? error.code : undefined;
      const name = code === undefined ? "no status" : (Code[code] ?? String(code));
      record.failed.pass();
      record.failures.set(name, (record.failures.get(name) ?? 0) + 1);
      if (code === undefined || !isExcused(code)) record.unexpected.push(`${what}: ${String(error)}`);
      return code === Code.ResourceExhausted ? "refused" : "unknown";
    },
  };
  return record;
}
