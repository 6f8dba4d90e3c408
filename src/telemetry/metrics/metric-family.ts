/** Labels of a sample. Their values come from sets that are known beforehand: nothing that callers write. */
export type Labels = Readonly<Record<string, string | number>>;

/** One number of a family. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Where it differs from the family's: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string;
}

/** What is exported under one name. */
export interface MetricFamily {
  /** By Prometheus's rules: base units, `_total` behind what is counted. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** The numbers as they are now. Called when somebody asks; in between, nothing is done for them. */
  readonly read: () => readonly Sample[];
}

/** The prefix of all that is this program's own. */
const prefix = "user_bridge_";

const noLabels: Labels = {};

/** What goes up and down. Undefined: there is nothing to say. */
export function gauge(name: string, help: string, read: () => number | undefined): MetricFamily {
  return { name: prefix + name, help, type: "gauge", read: () => toSamples(read()) };
}

/** What only grows, as long as the process lives. Undefined: there is nothing to say. */
export function counter(name: string, help: string, read: () => number | undefined): MetricFamily {
  return { name: prefix + name, help, type: "counter", read: () => toSamples(read()) };
}

/** The same of several, told apart by labels. */
export function labelled(
  type: MetricFamily["type"],
  name: string,
  help: string,
  read: (fullName: string) => readonly Sample[],
): MetricFamily {
  const fullName = prefix + name;
  return { name: fullName, help, type, read: () => read(fullName) };
}

/** A number for each value of one label. */
export function byLabel(
  label: string,
  numbers: Readonly<Record<string, number>> | undefined,
): readonly Sample[] {
  return Object.entries(numbers ?? {}).map(([key, value]) => ({ labels: { [label]: key }, value }));
}

function toSamples(value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [{ labels: noLabels, value }];
}
