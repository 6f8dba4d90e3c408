import type { KeptResult, Metric, Results, Row } from "../harness/results.ts";
import { subjectName } from "../harness/subject.ts";
import { type Bar, judge } from "./bars.ts";

/** All results as the generated part of the page. */
export function formatPage(results: Results): string {
  const machine = Object.entries(results.machine).map(([name, value]) => [name, value]);
  return [
    formatTable(["", "machine and versions"], machine, "---"),
    "## What is promised, and what was measured",
    formatBars(judge(results)),
    ...results.scenarios.flatMap((scenario) => [`## ${scenario.title}`, formatScenario(scenario)]),
  ].join("\n\n");
}

/** The promises as a table. */
export function formatBars(bars: readonly Bar[]): string {
  return formatTable(
    ["", "promised", "measured", ""],
    bars.map(({ what, promise, measured, isMet }) => [
      what,
      promise,
      measured ?? "–",
      isMet === undefined ? "not measured" : isMet ? "met" : "**not met**",
    ]),
    "---",
  );
}

/** A scenario as method, table and notes. */
export function formatScenario(scenario: KeptResult): string {
  const metrics = scenario.metrics.filter(({ key }) =>
    scenario.rows.some((row) => row.metrics[key] !== undefined),
  );
  const first = metrics[0];
  const own = first && scenario.rows.find((row) => row.name === subjectName)?.metrics[first.key]?.median;
  const withRatio = own !== undefined && scenario.rows.length > 1;
  const header = [
    "",
    ...metrics.map(({ title }) => title),
    ...(withRatio ? [`${subjectName} against it`] : []),
  ];
  const rows = scenario.rows.map((row) => [
    row.name,
    ...metrics.map((metric) => formatCell(row, metric)),
    ...(withRatio && first ? [formatRatio(own, row.metrics[first.key]?.median)] : []),
  ]);
  const skipped = scenario.skipped.map(({ name, reason }) => [
    name,
    `skipped: ${reason}`,
    ...metrics.slice(1).map(() => ""),
  ]);
  const failed = scenario.rows.flatMap((row) =>
    Object.entries(row.failures).map(([kind, count]) => `- ${row.name}: ${count} × ${kind}`),
  );
  return [
    scenario.method,
    formatTable(header, [...rows, ...skipped]),
    ...(failed.length > 0 ? [failed.join("\n")] : []),
    `Measured on ${scenario.measuredAt.slice(0, 10)} by \`${scenario.command}\`.`,
  ].join("\n\n");
}

/** A median and, where there were several rounds, its spread. */
function formatCell(row: Row, { key, digits }: Metric): string {
  const summary = row.metrics[key];
  if (summary === undefined) return "–";
  const format = (value: number) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const spread = summary.values.length > 1 ? ` (${format(summary.min)}–${format(summary.max)})` : "";
  return `${format(summary.median)}${spread}`;
}

function formatRatio(own: number, other: number | undefined): string {
  return other === undefined || other === 0 ? "–" : `${(own / other).toFixed(2)}×`;
}

function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  alignment: "---" | "---:" = "---:",
): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const width = header.length;
  const padded = rows.map((row) => [...row, ...Array<string>(Math.max(0, width - row.length)).fill("")]);
  const rule = header.map((_, index) => (index === 0 ? "---" : alignment));
  return [line(header), line(rule), ...padded.map(line)].join("\n");
}
