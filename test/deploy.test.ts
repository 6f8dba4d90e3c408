import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { callAs } from "./support/callers.ts";
import { backends } from "./support/databases.ts";
import { type Exposition, readExposition, samplesOf } from "./support/exposition.ts";
import { readGroupLabels, readMetrics, readRules } from "./support/prometheus-rules.ts";
import { startServerProcess } from "./support/server-process.ts";
import { withDeadline } from "./support/with-deadline.ts";

const deploy = join(import.meta.dirname, "../deploy");
const read = (path: string): string => readFileSync(join(deploy, path), "utf8");
const rules = readRules(read("prometheus/alerts.yaml"));

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly (Panel & {
    readonly id: number;
    readonly gridPos: Record<"x" | "y" | "w" | "h", number>;
  })[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
}

const dashboard = JSON.parse(read("grafana/user-bridge.json")) as Dashboard;
const graphs = dashboard.panels.filter(({ type }) => type !== "row");
const queries = graphs.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));

/** Prometheus adds these to what it reads. */
const addedLabels = ["job", "instance"];
const rangeFunctions = ["rate", "increase", "irate"];

/** What the real program exports when every kind of thing has happened in it. */
let exported: Exposition;
let text = "";

before(async () => {
  const [backend] = backends;
  assert.ok(backend);
  const database = await backend.create();
  const program = await startServerProcess({ ...database.variables, MAX_EVENT_LOOP_DELAY: "1m" });
  try {
    await exercise(program.url);
    const response = await fetch(new URL("/metrics", program.internalUrl));
    text = await response.text();
    exported = readExposition(text);
  } finally {
    await program.stop("SIGTERM");
    await database.drop();
  }
});

/** Calls that end well and not, a stream that is given an event, and one that goes on. */
async function exercise(url: string): Promise<void> {
  const caller = callAs(url, {}, createGrpcTransport({ baseUrl: url }));
  const leaving = new AbortController();
  const stream = caller.users.streamUserEvents(
    { progressInterval: { seconds: 60n } },
    { signal: leaving.signal },
  );
  const events = stream[Symbol.asyncIterator]();
  await withDeadline("the stream", events.next());
  await caller.users.registerUser({ email: "ada@example.com", username: "ada_x" });
  await withDeadline("the event", events.next());
  leaving.abort();
  await events.next().catch(() => {});
  await assert.rejects(caller.users.getUser({ email: "nobody@example.com" }));
  await assert.rejects(caller.accounts.authenticate({ email: "nobody@example.com", password: "wrong" }));
  for (let round = 0; round < 10; round++) await setImmediate();
}

/** What is wrong with an expression, as far as the program's metrics tell. */
function findFaults(expr: string): string[] {
  const metrics = readMetrics(expr);
  const faults = metrics.length === 0 ? [`reads no metric: ${expr}`] : [];
  const known = new Set(addedLabels);
  for (const { name, selectedBy, rangeFunction } of metrics) {
    if (name === "up") continue;
    const recorded = name.includes(":");
    if (recorded) {
      if (!rules.some(({ record }) => record === name)) faults.push(`${name} is recorded nowhere`);
      continue;
    }
    const family = exported.get(name) ?? exported.get(name.replace(/_(?:bucket|sum|count)$/, ""));
    if (family === undefined) {
      faults.push(`${name} is not exported`);
      continue;
    }
    const grows = family.type === "counter" || family.type === "histogram";
    if (family.type === "histogram" && exported.has(name))
      faults.push(`${name} is a histogram, read as a number`);
    if (grows !== rangeFunctions.includes(rangeFunction ?? "")) {
      faults.push(`${name} is a ${family.type} and given to ${rangeFunction ?? "nothing"}`);
    }
    const labels = new Set(samplesOf(exported, name).flatMap((sample) => Object.keys(sample.labels)));
    if (samplesOf(exported, name).length === 0) faults.push(`${name} has no numbers`);
    for (const label of labels) known.add(label);
    for (const label of selectedBy) {
      if (!labels.has(label) && !addedLabels.includes(label)) faults.push(`${name} has no label ${label}`);
    }
  }
  for (const label of metrics.every(({ name }) => name.includes(":")) ? [] : readGroupLabels(expr)) {
    if (label !== "" && !known.has(label)) faults.push(`nothing of ${expr} has a label ${label}`);
  }
  for (const [, inner = ""] of expr.matchAll(/histogram_quantile\([\d.]+, (.*)\)/g)) {
    if (!/_bucket/.test(inner) || !/\ble\b/.test(inner)) faults.push(`a quantile of no buckets: ${expr}`);
  }
  return faults;
}

describe("the dashboard", () => {
  test("reads what the program exports, by the labels that it has, as what it is", () => {
    assert.deepEqual(
      queries.flatMap(({ title, expr }) => findFaults(expr).map((fault) => `${title}: ${fault}`)),
      [],
    );
  });

  test("says of each graph what it shows and in which unit, and asks the data source that was chosen", () => {
    for (const { title, description, fieldConfig, targets } of graphs) {
      assert.match(description ?? "", /^[A-Z].*\.$/, title);
      assert.ok(fieldConfig?.defaults.unit, title);
      assert.ok(
        targets?.every(({ legendFormat }) => legendFormat !== ""),
        title,
      );
    }
    const sources = [...read("grafana/user-bridge.json").matchAll(/"uid": "([^"]*)"/g)].map(([, uid]) => uid);
    assert.ok(sources.length > 50);
    for (const uid of sources) assert.match(uid ?? "", /^(?:\$\{datasource\}|user-bridge)$/);
    assert.equal(dashboard.templating.list[0]?.type, "datasource");
    assert.deepEqual(
      dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title),
      ["Calls", "Errors", "Latency", "Streams and log", "Database", "Process"],
    );
  });

  test("shows no graph over another", () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !taken.has(`${x} ${y}`), title);
          taken.add(`${x} ${y}`);
        }
      }
    }
  });
});

describe("the alert rules", () => {
  test("read what the program exports, by the labels that it has, as what it is", () => {
    assert.deepEqual(
      rules.flatMap(({ alert, record, expr }) =>
        findFaults(expr).map((fault) => `${alert ?? record}: ${fault}`),
      ),
      [],
    );
  });

  test("say what has happened and what to do, and where that is explained", () => {
    const headings = readFileSync(join(deploy, "../docs/metrics.md"), "utf8").matchAll(/^#+ (.+)$/gm);
    const anchors = new Set(
      [...headings].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replace(/[^\w\- ]/g, "")
          .replaceAll(" ", "-"),
      ),
    );
    const alerts = rules.filter(({ alert }) => alert !== undefined);
    assert.ok(alerts.length > 10);
    for (const { alert, annotations } of alerts) {
      for (const key of ["summary", "description", "action"])
        assert.match(annotations[key] ?? "", /\w/, alert);
      const [path, anchor = ""] = (annotations["runbook"] ?? "").split("#");
      assert.equal(path, "docs/metrics.md", alert);
      assert.ok(anchors.has(anchor), `${alert}: there is no #${anchor}`);
    }
  });
});

const promtool = spawnSync("promtool", ["--version"]).status === 0;

describe("promtool", { skip: promtool ? false : "it is not installed" }, () => {
  const run = (args: readonly string[], input?: string) => {
    const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
    return stdout + stderr;
  };

  test("finds nothing wrong with the names and types that the program exports", () => {
    assert.equal(run(["check", "metrics"], text), "");
  });

  test("finds nothing wrong with the rules and the configuration", () => {
    run(["check", "rules", join(deploy, "prometheus/alerts.yaml")]);
    run(["check", "config", join(deploy, "prometheus/prometheus.yaml")]);
  });

  test("finds that the rules say of made-up numbers what they should", () => {
    run(["test", "rules", join(deploy, "prometheus/alerts.test.yaml")]);
  });
});
