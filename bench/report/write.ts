import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bench, repository } from "../harness/places.ts";
import type { KeptResult, Results, ScenarioResult } from "../harness/results.ts";
import { scenarios } from "../scenarios/all.ts";
import { drawCharts } from "./chart.ts";
import { formatPage } from "./markdown.ts";

const resultsFile = join(bench, "results/latest.json");
const page = join(repository, "docs/benchmarks.md");
const chart = join(repository, "docs/benchmarks.svg");
const marks = { begin: "<!-- numbers -->", end: "<!-- /numbers -->" };

/** Marks results with the time and the command that they are of. */
export function stamp(results: readonly ScenarioResult[], command: string): readonly KeptResult[] {
  const measuredAt = new Date().toISOString();
  return results.map((result) => ({ ...result, measuredAt, command }));
}

/** Writes the results, the page's generated part and the charts. Scenarios that did not run keep their results. */
export async function writeResults(
  machine: Readonly<Record<string, string>>,
  measured: readonly KeptResult[],
): Promise<void> {
  const before = existsSync(resultsFile)
    ? (JSON.parse(await readFile(resultsFile, "utf8")) as Results).scenarios
    : [];
  const kept = scenarios.flatMap(({ name }) => {
    const has = (result: KeptResult) => result.name === name;
    return measured.find(has) ?? before.find(has) ?? [];
  });
  const results: Results = { machine, scenarios: kept };
  await writeTo(resultsFile, `${JSON.stringify(results, undefined, 2)}\n`);
  await writeTo(chart, drawCharts(results));
  const template = existsSync(page) ? page : join(bench, "report/page.md");
  await writeTo(page, insert(await readFile(template, "utf8"), formatPage(results)));
}

/** Replaces what is between the marks. @throws where a mark is missing */
function insert(text: string, numbers: string): string {
  const [begin, end] = [text.indexOf(marks.begin), text.indexOf(marks.end)];
  if (begin < 0 || end < begin) {
    throw new Error(`docs/benchmarks.md must hold ${marks.begin} and, behind it, ${marks.end}`);
  }
  return `${text.slice(0, begin + marks.begin.length)}\n\n${numbers}\n\n${text.slice(end)}`;
}

async function writeTo(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}
