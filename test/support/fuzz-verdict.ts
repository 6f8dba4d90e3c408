import { Code } from "@connectrpc/connect";
import type { Policy } from "../../src/platform/policy.ts";
import { procedureOf } from "../../src/platform/policy.ts";
import { type FuzzAnswer, readCode, readText } from "./fuzz-answer.ts";
import type { FuzzCall } from "./fuzz-call.ts";

/** What of a listener the verdicts depend on. */
export interface FuzzedListener {
  readonly url: string;
  /** The RPCs that are served here: any other must be unknown. */
  readonly serves: (procedure: string) => boolean;
  /** Undefined where nobody is asked who they are. */
  readonly policy: Policy | undefined;
}

/** Failures of the server by their code, which are legitimate answers all the same, each with the reason. */
const legitimate: readonly { readonly pattern: RegExp; readonly because: string }[] = [
  {
    pattern: /received compressed envelope, but do not know how to decompress/,
    because: "gRPC's compression.md: a compressed flag without an encoding is INTERNAL",
  },
];

/** What no answer may show: where the program lies, what it is built of, what it asks its database. */
const leaks: readonly RegExp[] = [
  /node_modules/,
  /\bnode:internal/,
  /\.[tj]s:\d+/,
  /\n\s+at \S+ \(/,
  /\/(?:tmp|home|work|usr|var)\//,
  /\b(?:select|insert into|update|delete from) ["\w]+ (?:set|from|where|values|\()/i,
  /\b(?:relation|column|constraint) "/,
  /pglite|kysely|postgres|SQLSTATE|invalid byte sequence|unsupported Unicode escape/i,
  /ECONN|EPIPE|ERR_[A-Z]+_/,
  /Cannot read propert|is not a function|is not iterable|undefined is not/,
];

const failures: readonly number[] = [Code.Internal, Code.Unknown, Code.DataLoss];

/** Codes of calls that were refused before anybody looked whose they are. */
const refusedBefore: readonly number[] = [
  Code.InvalidArgument,
  Code.ResourceExhausted,
  Code.Unimplemented,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Internal,
];

/** What is wrong with an answer; empty: nothing. */
export function judge(call: FuzzCall, answer: FuzzAnswer, listener: FuzzedListener): string[] {
  const text = readText(answer);
  const code = readCode(answer);
  const reason = legitimate.find(({ pattern }) => pattern.test(text));
  const faults: string[] = [];
  if (answer.status === 500 && reason === undefined) faults.push("HTTP status 500");
  if (code !== undefined && failures.includes(code) && reason === undefined)
    faults.push(`code ${Code[code]}`);
  // INTERNAL_ERROR: how an answer is cut off that cannot be sent.
  if (answer.resetCode === 2) faults.push("the stream was reset with INTERNAL_ERROR");
  if (answer.status === 200 && answer.end === "whole" && code === undefined) faults.push("no status");
  if (answer.end === "open" && call.method.methodKind === "unary") faults.push("no end of the answer");
  if (answer.end === "cut off" && call.httpVersion === 1) faults.push("no whole answer");
  faults.push(...findLeaks(text));
  const procedure = procedureOf(call.method);
  if (!listener.serves(procedure)) {
    if (code === 0) faults.push("an RPC of another listener was answered");
  } else {
    faults.push(...judgeAccess(call, code, text, listener.policy?.get(procedure)?.kind));
  }
  return faults.length === 0 ? [] : [...faults, describe(answer, code, text)];
}

/** What a text shows that it should not. */
export function findLeaks(text: string): string[] {
  return leaks.filter((pattern) => pattern.test(text)).map((pattern) => `shows ${pattern}`);
}

function judgeAccess(
  call: FuzzCall,
  code: number | undefined,
  text: string,
  rule: string | undefined,
): string[] {
  if (rule === undefined || rule === "public" || call.standing === "open" || code === undefined) return [];
  if (call.standing === "powerless" && rule === "authenticated") return [];
  const expected = call.standing === "nobody" ? Code.Unauthenticated : Code.PermissionDenied;
  if (code === expected) return [];
  // A request that cannot be read is refused first; one that breaks a rule of the domain has got too far.
  if (refusedBefore.includes(code) && !text.includes("INVALID_INPUT")) return [];
  return [`${call.standing} was answered with ${Code[code] ?? "OK"}`];
}

function describe({ status, end, resetCode }: FuzzAnswer, code: number | undefined, text: string): string {
  return `status ${status}, code ${code}, ${end}, reset ${resetCode}: ${text.slice(0, 1_500)}`;
}
