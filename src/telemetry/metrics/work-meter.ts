import { callSeconds, Histogram, type HistogramShape, itemCounts } from "./histogram.ts";
import { byLabel, counter, gauge, labelled, type MetricFamily } from "./metric-family.ts";

/** What works in batches. */
export const batchNames = ["look-ups", "registrations", "changes"] as const;

/** What works in batches. */
export type BatchName = (typeof batchNames)[number];

/** Seconds until an event is read, observed in milliseconds. */
const delaySeconds: HistogramShape = callSeconds;

/** Told of what goes on behind the calls. Nothing of it costs more than some additions. */
export class WorkMeter {
  readonly #batches = new Map(batchNames.map((name) => [name, new Histogram(itemCounts)]));
  readonly #delays = new Histogram(delaySeconds);
  readonly #ring = { hit: 0, miss: 0 };
  #lastDelayMs = 0;
  #delivered = 0;
  #kept = 0;
  #repeated = 0;

  /** For a batcher's `onBatch`. */
  batch(name: BatchName): (size: number) => void {
    const sizes = this.#batches.get(name);
    return (size) => sizes?.observe(size);
  }

  /** For the writer of users. */
  get writes(): Readonly<Record<Exclude<BatchName, "look-ups">, (size: number) => void>> {
    return { registrations: this.batch("registrations"), changes: this.batch("changes") };
  }

  /** Events have been read, the newest of which happened so long ago. */
  eventsRead(newestAgeMs: number): void {
    // The clocks of several machines differ.
    this.#lastDelayMs = Math.max(0, newestAgeMs);
    this.#delays.observe(this.#lastDelayMs);
  }

  /** A stream has asked the ring for what follows, and it was there or not. */
  ringAsked(isHit: boolean): void {
    this.#ring[isHit ? "hit" : "miss"] += 1;
  }

  /** A stream has been given events. */
  eventsDelivered(count: number): void {
    this.#delivered += count;
  }

  /** An answer has been kept for repetitions of a call with an idempotency key. */
  answerKept(): void {
    this.#kept += 1;
  }

  /** A repetition has been given the kept answer. */
  answerRepeated(): void {
    this.#repeated += 1;
  }

  get families(): readonly MetricFamily[] {
    return [
      labelled("histogram", "batch_size", "How many callers share a batch of work.", (name) =>
        [...this.#batches].flatMap(([batch, sizes]) => sizes.samples(name, { batch })),
      ),
      labelled(
        "histogram",
        "log_delay_seconds",
        "How old the newest event of a read was when it was read.",
        (name) => this.#delays.samples(name, {}),
      ),
      gauge(
        "log_lag_seconds",
        "How old the newest event was when it was read, at the last read.",
        () => this.#lastDelayMs / 1_000,
      ),
      labelled(
        "counter",
        "log_ring_reads_total",
        "Reads of streams that memory could answer (hit), and that took a query (miss).",
        () => byLabel("result", this.#ring),
      ),
      counter(
        "log_events_delivered_total",
        "Events given to streams, each as often as it was given.",
        () => this.#delivered,
      ),
      counter(
        "idempotent_answers_kept_total",
        "Answers kept for repetitions of calls with an idempotency key.",
        () => this.#kept,
      ),
      counter(
        "idempotent_repetitions_total",
        "Repetitions that were given the kept answer.",
        () => this.#repeated,
      ),
    ];
  }
}
