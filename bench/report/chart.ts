import type { KeptResult, Results } from "../harness/results.ts";
import { subjectName } from "../harness/subject.ts";

const panel = { width: 470, head: 44, row: 26, foot: 18, gap: 20 };
const bar = { left: 164, width: 178, height: 16 };
const margin = 12;

/** A bar of a chart. */
interface Value {
  readonly name: string;
  readonly median: number;
}

/**
 * All charts as one SVG of small multiples, two side by side: a bar for each server's median, and how many times
 * as much the service does. The colours follow the reader's colour scheme.
 */
export function drawCharts(results: Results): string {
  const charts = results.scenarios.flatMap((scenario) => {
    const values = readValues(scenario);
    return scenario.chart !== undefined && values.length > 0 ? [{ title: scenario.chart.title, values }] : [];
  });
  const heights = [margin, margin];
  const panels = charts.map(({ title, values }) => {
    // The next panel goes where there is more room.
    const column = (heights[0] ?? 0) <= (heights[1] ?? 0) ? 0 : 1;
    const [x, y] = [margin + column * (panel.width + panel.gap), heights[column] ?? 0];
    heights[column] = y + panelHeight(values) + panel.gap;
    return drawPanel(title, values, x, y);
  });
  const width = 2 * (margin + panel.width) + panel.gap;
  const height = Math.max(...heights) - panel.gap + margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="13" role="img" aria-label="Benchmarks: user-bridge and other servers on the same machine, database and load">
${style}
${panels.join("\n")}
</svg>
`;
}

const style = `  <style>
    .card { fill: #ffffff; stroke: #c6ccd6; } .track { fill: #eef1f5; } .peer { fill: #a9b4c2; } .own { fill: #0b7a75; }
    .head { font-weight: 600; fill: #1d2733; font-size: 14px; } .name { fill: #3d4856; } .value { fill: #1d2733; }
    .ratio { fill: #0b7a75; font-weight: 600; } .name, .value, .ratio { font-size: 12.5px; }
    .bold { font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1c232d; stroke: #445063; } .track { fill: #252e3a; } .peer { fill: #6b7a8d; } .own { fill: #2fb5a9; }
      .head, .value { fill: #e8edf4; } .name { fill: #b4c0ce; } .ratio { fill: #4fd1c5; }
    }
  </style>`;

function readValues({ chart, rows }: KeptResult): Value[] {
  return rows.flatMap(({ name, metrics }) => {
    const median = chart && metrics[chart.key]?.median;
    return median === undefined ? [] : [{ name, median }];
  });
}

function panelHeight(values: readonly Value[]): number {
  return panel.head + values.length * panel.row + panel.foot;
}

function drawPanel(title: string, values: readonly Value[], x: number, y: number): string {
  const most = Math.max(...values.map(({ median }) => median), 1);
  const own = values.find(({ name }) => name === subjectName)?.median;
  const rows = values.map((value, index) => drawBar(value, most, own, panel.head + index * panel.row));
  return `  <g transform="translate(${x} ${y})">
    <rect class="card" width="${panel.width}" height="${panelHeight(values)}" rx="8"/>
    <text class="head" x="16" y="28">${escapeText(title)}</text>
${rows.join("\n")}
  </g>`;
}

function drawBar({ name, median }: Value, most: number, own: number | undefined, y: number): string {
  const isOwn = name === subjectName;
  const length = Math.max(2, (median / most) * bar.width);
  const middle = y + panel.row / 2 + 4.5;
  const top = y + (panel.row - bar.height) / 2;
  const amount = median.toLocaleString("en", { maximumFractionDigits: 0 });
  const ratio = isOwn || own === undefined || median === 0 ? undefined : own / median;
  return `    <text class="name${isOwn ? " bold" : ""}" x="${bar.left - 10}" y="${middle}" text-anchor="end">${escapeText(name)}</text>
    <rect class="track" x="${bar.left}" y="${top}" width="${bar.width}" height="${bar.height}" rx="3"/>
    <rect class="${isOwn ? "own" : "peer"}" x="${bar.left}" y="${top}" width="${length.toFixed(1)}" height="${bar.height}" rx="3"/>
    <text class="value" x="${bar.left + bar.width + 66}" y="${middle}" text-anchor="end">${amount}</text>
    <text class="${(ratio ?? 0) >= 1 ? "ratio" : "name"}" x="${panel.width - 14}" y="${middle}" text-anchor="end">${ratio === undefined ? "" : `${ratio.toFixed(1)}×`}</text>`;
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
