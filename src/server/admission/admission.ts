import type { DescMethod } from "@bufbuild/protobuf";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import type { CallHold, CallScope } from "../../platform/call-scope.ts";
import type { LimitsConfig } from "../../platform/config.ts";
import type { Admission } from "../call-life.ts";
import { CallSlots } from "./call-slots.ts";
import { type LoadWatch, noLoadWatch, openLoadWatch } from "./load-watch.ts";
import { networkOf, providerOf } from "./network.ts";
import { RateLimit } from "./rate-limit.ts";
import { type RefusalCounts, Refusals } from "./refusals.ts";
import { StreamSlots } from "./stream-slots.ts";

/** What there is at the moment. */
export interface AdmissionLoad {
  readonly running: number;
  readonly queued: number;
  readonly streams: number;
  /** Since the beginning. */
  readonly refused: RefusalCounts;
  readonly eventLoopDelayMs: number;
  /** The share of calls that is refused since the event loop is late, 0 to 1. */
  readonly shedShare: number;
}

/** Bounds that can be looked at, and closed. */
export interface WatchedAdmission extends Required<Admission> {
  /** What there is at the moment. Counted anyway: to ask costs nothing. */
  load(): AdmissionLoad;
  close(): void;
}

/** What is not the same everywhere. */
export interface AdmissionOptions {
  /** What is used instead of a watch of its own. */
  readonly loadWatch?: LoadWatch;
  /** A clock that nobody sets, in milliseconds. */
  readonly nowMs?: () => number;
}

/** What calls hold that have left: whatever they would be given now, they take nothing. */
const left: CallHold = { giveBack() {} };

/**
 * Keeps the calls of a listener within bounds: how busy the process is, how often callers call, how many calls and
 * streams there are at once. Whoever asks after health is bounded in open streams alone, and these are counted apart:
 * balancers must get their answers from a process that is busy.
 */
export function createAdmission(limits: LimitsConfig, options: AdmissionOptions = {}): WatchedAdmission {
  const { maxEventLoopDelayMs, addressRate, principalRate } = limits;
  const { nowMs = () => performance.now() } = options;
  const loadWatch =
    options.loadWatch ??
    (maxEventLoopDelayMs === undefined ? noLoadWatch : openLoadWatch(maxEventLoopDelayMs));
  const refusals = new Refusals();
  const calls = new CallSlots(limits, refusals);
  const streams = new StreamSlots(limits, refusals);
  const healthWatchers = new StreamSlots(limits, refusals);
  const addresses = addressRate && new RateLimit(addressRate, { widen: providerOf });
  const principals = principalRate && new RateLimit(principalRate);

  return {
    arrive(method, scope) {
      if (isHealth(method)) return;
      // Before a stream has begun: it would be ended at once, with less to go by.
      if (calls.isDraining && isStream(method)) throw refusals.shuttingDown();
      if (loadWatch.share > 0 && Math.random() < loadWatch.share) throw refusals.overloaded();
      if (addresses !== undefined) {
        const waitMs = addresses.take(networkOf(scope.address), nowMs());
        if (waitMs > 0) throw refusals.rateLimited("address", waitMs);
      }
    },
    enter(method, scope) {
      if (scope.hold === left) return undefined;
      if (isHealth(method)) {
        if (isStream(method)) healthWatchers.enter(scope, callerKeyOf(scope));
        return undefined;
      }
      if (principals !== undefined && isKnown(scope)) {
        const waitMs = principals.take(scope.principal.actor, nowMs());
        if (waitMs > 0) throw refusals.rateLimited("principal", waitMs);
      }
      if (!isStream(method)) return calls.enter(scope, callerKeyOf(scope));
      streams.enter(scope, callerKeyOf(scope));
      return undefined;
    },
    leave(scope) {
      const { hold } = scope;
      scope.hold = left;
      hold?.giveBack();
    },
    drain() {
      calls.isDraining = true;
    },
    load: () => ({
      running: calls.running,
      queued: calls.queued,
      streams: streams.open + healthWatchers.open,
      refused: { ...refusals.counts },
      eventLoopDelayMs: loadWatch.delayMs,
      shedShare: loadWatch.share,
    }),
    close: () => loadWatch.close(),
  };
}

function isHealth(method: DescMethod): boolean {
  return method.parent.typeName === Health.typeName;
}

/** Whether it lasts by its nature: one that a client ends is a call. */
function isStream({ methodKind }: DescMethod): boolean {
  return methodKind === "server_streaming" || methodKind === "bidi_streaming";
}

function isKnown({ principal }: CallScope): boolean {
  return principal.kind !== "anonymous";
}

/** Whose bounds a call counts in: its principal's, or where nobody has asked, its address's. */
function callerKeyOf(scope: CallScope): string {
  return isKnown(scope) ? scope.principal.actor : networkOf(scope.address);
}
