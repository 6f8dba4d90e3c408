import type { SoakReport } from "./report.ts";

/** The report for people. */
export function formatReport(report: SoakReport): string {
  const { writes, streams, handles, loopDelayMs } = report;
  return [
    `## Soak: ${report.faults.length === 0 ? "sound" : "FAILED"}`,
    "",
    ...report.faults.map((fault) => `- FAULT: ${fault}`),
    `- ${Math.round(report.seconds)} s on ${report.database}, seed ${report.seed}`,
    `- ${report.calls} calls, ${Math.round(report.callsPerSecond)} a second` +
      (report.skipped > 0 ? `; ${report.skipped} not made, since too many were under way` : ""),
    `- statuses: ${listCounts(report.codes)}`,
    `- not expected: ${listCounts(report.unexpected) || "none"}`,
    `- acknowledged writes: ${writes.acknowledged}, missing: ${writes.missing.length}`,
    `- streams: ${streams.readers} readers, ${streams.events} events, broken: ${streams.broken.length}`,
    `- open sockets: ${handles.start} at the start, ${handles.peak} at most, ${handles.end} at the end`,
    loopDelayMs === undefined
      ? "- event loop: not told"
      : `- event loop late by (99th percentile): ${loopDelayMs.median.toFixed(1)} ms in the middle, ${loopDelayMs.worst.toFixed(1)} ms at worst`,
    "",
    "| memory, MiB | start | peak | end | slope a minute | grown, after the warm-up | allowed |",
    "|---|---:|---:|---:|---:|---:|---:|",
    ...report.memory.map(
      (one) =>
        `| ${one.what} | ${mib(one.startBytes)} | ${mib(one.peakBytes)} | ${mib(one.endBytes)} | ` +
        `${mib(one.bytesPerMinute)} | ${mib(one.grownBytes)} | ${mib(one.allowedBytes)} |`,
    ),
    "",
    "| call | calls | p50, ms | p99, ms | p99.9, ms | statuses |",
    "|---|---:|---:|---:|---:|---|",
    ...report.methods
      .filter(({ name }) => !name.startsWith("StreamUserEvents"))
      .map(
        ({ name, calls, p50Ms, p99Ms, p999Ms, codes }) =>
          `| ${name} | ${calls} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${p999Ms.toFixed(1)} | ${listCounts(codes)} |`,
      ),
    "",
  ].join("\n");
}

function listCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([what, count]) => `${what} ${count}`)
    .join(", ");
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? "too short to tell" : (bytes / 1_024 ** 2).toFixed(1);
}
