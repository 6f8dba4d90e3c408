import { type CountConnections, createConnectionFamilies } from "./connection-metrics.ts";
import { byLabel, gauge, labelled, type MetricFamily } from "./metric-family.ts";

/** What the parts of a process say of themselves when they are asked. None of them need be there. */
export interface MetricSources {
  readonly pool?: {
    readonly max: number;
    readonly size: number;
    readonly idle: number;
    readonly waiting: number;
  };
  readonly tailer?: {
    readonly state: { readonly head: bigint };
    readonly ring: { readonly head: bigint };
    readonly isHealthy: boolean;
  };
  readonly admission?: {
    load(): {
      readonly queued: number;
      readonly refused: Readonly<Record<string, number>>;
      readonly eventLoopDelayMs: number;
      readonly shedShare: number;
    };
  };
  /** The bounds that the above is to be seen against. */
  readonly limits?: { readonly maxQueuedCalls: number; readonly maxEventLoopDelayMs?: number };
  readonly connections?: CountConnections;
  readonly maxConnections?: number;
  readonly passwords?: { readonly running: number; readonly waiting: number; readonly maxWaiting: number };
  readonly refusalAudit?: { readonly waiting: number; readonly totals: Readonly<Record<string, number>> };
}

/** Everything that is read when it is asked for, and at no other time. */
export function createStateFamilies(sources: () => MetricSources): readonly MetricFamily[] {
  const pool = () => sources().pool;
  const tailer = () => sources().tailer;
  const limits = () => sources().limits;
  const load = () => sources().admission?.load();
  const passwords = () => sources().passwords;
  const audit = () => sources().refusalAudit;
  const toSeconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1_000);

  return [
    labelled(
      "counter",
      "calls_refused_total",
      "Calls refused since there were too many, or for the end of the process.",
      () => byLabel("reason", load()?.refused),
    ),
    gauge("calls_queued", "Calls that wait for their turn.", () => load()?.queued),
    gauge(
      "calls_queued_max",
      "Calls that may wait for their turn: MAX_QUEUED_CALLS.",
      () => limits()?.maxQueuedCalls,
    ),
    gauge(
      "calls_shed_ratio",
      "The share of calls refused since the event loop is late.",
      () => load()?.shedShare,
    ),
    gauge("event_loop_delay_seconds", "How late the event loop is, smoothed; calls are shed by it.", () =>
      toSeconds(load()?.eventLoopDelayMs),
    ),
    gauge("event_loop_delay_max_seconds", "From here on every call is shed: MAX_EVENT_LOOP_DELAY.", () =>
      toSeconds(limits()?.maxEventLoopDelayMs),
    ),
    gauge(
      "connections_max",
      "Connections that a listener may have: MAX_CONNECTIONS.",
      () => sources().maxConnections,
    ),
    ...createConnectionFamilies(() => sources().connections),
    gauge("database_connections_max", "Connections to the database that there may be.", () => pool()?.max),
    gauge("database_connections", "Connections to the database.", () => pool()?.size),
    gauge("database_connections_idle", "Connections to the database that nobody uses.", () => pool()?.idle),
    gauge("database_waiting", "How many wait for a connection to the database.", () => pool()?.waiting),
    gauge("log_head_revision", "The newest revision of the event log, as of the last read.", () =>
      toNumber(tailer()?.state.head),
    ),
    gauge("log_read_revision", "The revision up to which the event log has been read.", () =>
      toNumber(tailer()?.ring.head),
    ),
    gauge("log_lag_events", "Events that are known to be there and have not been read.", () => {
      const now = tailer();
      return now && Math.max(0, Number(now.state.head - now.ring.head));
    }),
    gauge("log_healthy", "Whether the last read of the event log succeeded: 1 or 0.", () =>
      toNumber(tailer()?.isHealthy),
    ),
    gauge("password_hashes_running", "Passwords that are being hashed.", () => passwords()?.running),
    gauge("password_hashes_waiting", "Passwords that wait to be hashed.", () => passwords()?.waiting),
    gauge(
      "password_hashes_waiting_max",
      "Passwords that may wait to be hashed.",
      () => passwords()?.maxWaiting,
    ),
    gauge(
      "audit_refusals_waiting",
      "Refusals that are yet to be written to the audit log.",
      () => audit()?.waiting,
    ),
    labelled(
      "counter",
      "audit_refusals_total",
      "Refusals by how the audit log keeps them: singly, counted or dropped.",
      () => byLabel("kept", audit()?.totals),
    ),
  ];
}

function toNumber(value: bigint | boolean | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
