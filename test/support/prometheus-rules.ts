/** A rule, as far as the tests look at it. */
export interface PrometheusRule {
  /** The name of an alert; undefined: a recording rule. */
  readonly alert: string | undefined;
  readonly record: string | undefined;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Reads the rules of a file whose values are one line each, as ours are. */
export function readRules(yaml: string): readonly PrometheusRule[] {
  return yaml
    .split(/^ {6}- /m)
    .slice(1)
    .map((text) => {
      const find = (key: string) => new RegExp(`^ *${key}: (.*)$`, "m").exec(text)?.[1];
      const annotations = text.split("annotations:\n")[1] ?? "";
      return {
        alert: find("alert"),
        record: find("record"),
        expr: find("expr") ?? "",
        annotations: Object.fromEntries(
          annotations
            .matchAll(/^ {10}(\w+): (?:"(.*)"|(.*))$/gm)
            .map(([, key = "", quoted, plain]) => [key, quoted ?? plain ?? ""]),
        ),
      };
    });
}

/** A metric that an expression reads. */
export interface ReadMetric {
  readonly name: string;
  /** Labels that it is selected by. */
  readonly selectedBy: readonly string[];
  /** The function that it is given to with a range, e.g. `rate`; undefined: it is read as it is. */
  readonly rangeFunction: string | undefined;
}

/** The metrics that an expression of PromQL reads. Recorded ones have a colon in their names. */
export function readMetrics(expr: string): readonly ReadMetric[] {
  return [
    ...expr.matchAll(/(?:(\w+)\()?\b((?:user_bridge|process|nodejs)[_:][\w:]+|up)\b(\{[^}]*\})?(\[)?/g),
  ].map(([, before, name = "", selector = "", range]) => ({
    name,
    selectedBy: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label),
    rangeFunction: range === undefined ? undefined : before,
  }));
}

/** The labels that an expression groups by. */
export function readGroupLabels(expr: string): readonly string[] {
  return [...expr.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, labels = ""]) =>
    labels.split(",").map((label) => label.trim()),
  );
}
