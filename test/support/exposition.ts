import assert from "node:assert/strict";

/** One number as it was exported. */
export interface ExportedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One family of them. */
export interface ExportedFamily {
  readonly type: string;
  readonly samples: readonly ExportedSample[];
}

/** What was exported in Prometheus's text format, by the names of families. */
export type Exposition = ReadonlyMap<string, ExportedFamily>;

/** Reads it. Fails where a line is none, or belongs to no family. */
export function readExposition(text: string): Exposition {
  const families = new Map<string, { type: string; samples: ExportedSample[] }>();
  let current = "";
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) {
      [current = ""] = [type[1]];
      assert.ok(!families.has(current), `${current} comes twice`);
      families.set(current, { type: type[2] as string, samples: [] });
    }
    if (line === "" || line.startsWith("#")) continue;
    const sample = readSample(line);
    assert.match(sample.name, new RegExp(`^${current}(?:_total|_bucket|_sum|_count)?$`), line);
    families.get(current)?.samples.push(sample);
  }
  return families;
}

/** The sum of all samples of a name whose labels are these, and maybe others. */
export function sumOf(
  exposition: Exposition,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return samplesOf(exposition, name)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

/** All samples of a name, be it a family's or one of a histogram's. */
export function samplesOf(exposition: Exposition, name: string): readonly ExportedSample[] {
  const family = exposition.get(name) ?? exposition.get(name.replace(/_(?:bucket|sum|count)$/, ""));
  return family?.samples.filter((sample) => sample.name === name) ?? [];
}

/** Asks a listener for its metrics. */
export async function scrape(internalUrl: string | undefined): Promise<Exposition> {
  const response = await fetch(new URL("/metrics", internalUrl));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return readExposition(await response.text());
}

function readSample(line: string): ExportedSample {
  const parts = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  assert.ok(parts, `no sample: ${line}`);
  const [, name = "", labels = "", value = ""] = parts;
  return {
    name,
    labels: Object.fromEntries(
      labels
        .matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)
        .map(([, label = "", text = ""]) => [label, text]),
    ),
    value: Number(value.replace("Inf", "Infinity").replace("Nan", "NaN")),
  };
}
