import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import { collectDefaultMetrics, Registry } from "prom-client";
import { gauge, labelled, type MetricFamily } from "./metric-family.ts";

/**
 * What makes lists of all sockets only to count them, and gauges that are named like counters. What is left counts
 * sockets, timers and the like by `nodejs_active_resources`.
 */
const leftOut = [
  "nodejs_active_handles",
  "nodejs_active_handles_total",
  "nodejs_active_requests",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

let registry: Registry | undefined;

/**
 * What prom-client collects of a process: CPU, memory, event loop, garbage collection, handles. Begun when it is first
 * asked for, and once: its watches cannot be ended, and a process has one event loop, whatever runs on it.
 */
export function processRegistry(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const name of leftOut) registry.removeSingleMetric(name);
  }
  return registry;
}

/** What it leaves out. */
export const processFamilies: readonly MetricFamily[] = [
  labelled("gauge", "build_info", "Always 1; the labels say what runs.", () => [
    { labels: { version: readVersion(), node: process.versions.node }, value: 1 },
  ]),
  gauge(
    "memory_limit_bytes",
    "The memory that the process may use: its container's, else the machine's.",
    () => {
      const limit = process.constrainedMemory();
      return limit > 0 && limit < totalmem() ? limit : totalmem();
    },
  ),
  gauge("heap_limit_bytes", "The heap that JavaScript may use.", () => getHeapStatistics().heap_size_limit),
];

/** From the package as it is installed: what is built lies one folder deeper than what it is built from. */
function readVersion(): string {
  const path = findPackageJSON("..", import.meta.url);
  const { version } = JSON.parse(path === undefined ? "{}" : readFileSync(path, "utf8")) as {
    version?: string;
  };
  return version ?? "unknown";
}
