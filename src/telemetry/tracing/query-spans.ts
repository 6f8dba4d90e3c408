import type { DatabaseConfig } from "../../platform/config.ts";
import type { ObserveQuery } from "../../platform/query-observer.ts";
import type { SpanAttributes, TraceSpan } from "../../platform/trace-span.ts";

/** Of so many calls that wait for one statement, each finds it in its trace. */
const maxLinks = 32;

/**
 * Makes a span of every statement that some traced call waits for, under that call's span. The text is the
 * statement's own: what callers have given is in its parameters, which are left out, as are the texts of failures.
 */
export function createQuerySpans(database: DatabaseConfig): ObserveQuery {
  const place = describePlace(database);
  return ({ sql, work }) => {
    const waiting = work === undefined ? [] : findSampled(work.spans);
    const [first, ...others] = waiting;
    if (first === undefined) return undefined;
    const { operation, summary } = summarise(sql);
    const span = first.startChild(
      summary,
      { ...place, "db.operation.name": operation, "db.query.summary": summary, "db.query.text": sql },
      others,
    );
    return (failure) => span.end(failure === undefined ? undefined : describeFailure(failure));
  };
}

const nobody: readonly TraceSpan[] = [];

/** Each once: one call may wait for a statement several times over. */
function findSampled(spans: readonly TraceSpan[]): readonly TraceSpan[] {
  if (!spans.some(({ isSampled }) => isSampled)) return nobody;
  const found = new Set<TraceSpan>();
  for (const span of spans) {
    if (span.isSampled) found.add(span);
    if (found.size > maxLinks) break;
  }
  return [...found];
}

function describePlace(database: DatabaseConfig): SpanAttributes {
  const system = { "db.system.name": "postgresql" };
  if (database.kind === "embedded") return system;
  const { pathname, hostname, port } = new URL(database.url);
  return {
    ...system,
    ...(pathname.length > 1 && { "db.namespace": decodeURIComponent(pathname.slice(1)) }),
    ...(hostname !== "" && {
      "server.address": decodeURIComponent(hostname),
      "server.port": Number(port || 5432),
    }),
  };
}

const change =
  /\b(?:(insert)\s+into|(delete)\s+from|(update)(?=\s+"?\w+"?\s+(?:as\s+\w+\s+)?set\b))\s+"?(\w+)/i;
/** Not the `from` of functions, which end behind it: `extract(epoch from created_at)`. */
const source = /\bfrom\s+"?([a-z_]\w*)\b"?(?!\s*(?:\)|from\b|\())/i;

/** Such as `insert users`, or `select users`: what a statement changes first, or else the first table it reads. */
function summarise(sql: string): { operation: string; summary: string } {
  const [, insert, remove, update, changed] = change.exec(sql) ?? [];
  const operation = (insert ?? remove ?? update ?? /[a-z]+/i.exec(sql)?.[0] ?? "query").toLowerCase();
  const table = changed ?? source.exec(sql)?.[1];
  return { operation, summary: table === undefined ? operation : `${operation} ${table}` };
}

const sqlState = /^(?=.*\d)[0-9A-Z]{5}$/;
/** Such as ECONNREFUSED. */
const errorCode = /^[0-9A-Z_]{1,40}$/;

function describeFailure(failure: unknown): SpanAttributes {
  if (!(failure instanceof Error)) return { "error.type": "_OTHER" };
  const code = "code" in failure && typeof failure.code === "string" ? failure.code : "";
  if (!errorCode.test(code)) return { "error.type": failure.name };
  return { "error.type": code, ...(sqlState.test(code) && { "db.response.status_code": code }) };
}
