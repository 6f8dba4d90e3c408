import type { ScenarioResult } from "./results.ts";

/**
 * Where a run did not work, whatever its numbers are: calls that failed, and rows without a number.
 *
 * @param excused names of rows that may fail
 */
export function findFaults(
  results: readonly ScenarioResult[],
  excused: readonly string[],
): readonly string[] {
  return results.flatMap(({ name, metrics, rows }) =>
    rows.flatMap((row) => {
      if (excused.includes(row.name)) return [];
      const failures = Object.entries(row.failures).map(([kind, count]) => `${count} times ${kind}`);
      const first = metrics[0];
      const isEmpty = first !== undefined && !((row.metrics[first.key]?.max ?? 0) > 0);
      const faults = isEmpty ? [...failures, `no ${first.title}`] : failures;
      return faults.map((fault) => `${name}, ${row.name}: ${fault}`);
    }),
  );
}
