import type { Summary } from "./statistics.ts";

/** A quantity that scenarios measure. */
export interface Metric {
  readonly key: string;
  /** The heading of its column, with the unit. */
  readonly title: string;
  /** Digits behind the decimal point. */
  readonly digits: number;
}

/** One server's, or one variant's, measurements. */
export interface Row {
  readonly name: string;
  /** By the metric's key. */
  readonly metrics: Readonly<Record<string, Summary>>;
  /** Calls that failed, by kind; empty where all is well. */
  readonly failures: Readonly<Record<string, number>>;
}

/** What a scenario measured. */
export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  /** How it was measured, in a sentence or two. */
  readonly method: string;
  /** The metric that bars are drawn of. */
  readonly chart?: { readonly key: string; readonly title: string };
  readonly metrics: readonly Metric[];
  readonly rows: readonly Row[];
  /** Who was not measured, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** A scenario's result as it is kept. */
export interface KeptResult extends ScenarioResult {
  /** ISO 8601. */
  readonly measuredAt: string;
  readonly command: string;
}

/** Everything that is known, as in bench/results/latest.json. */
export interface Results {
  readonly machine: Readonly<Record<string, string>>;
  readonly scenarios: readonly KeptResult[];
}

/** The median of a row's metric; undefined where it was not measured. */
export function findMedian(
  results: Results,
  scenario: string,
  rowName: string,
  key: string,
): number | undefined {
  const rows = results.scenarios.find((candidate) => candidate.name === scenario)?.rows ?? [];
  return rows.find((row) => row.name === rowName)?.metrics[key]?.median;
}
