import assert from "node:assert/strict";
import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { UserEventsRequest_Start } from "../../gen/users/v1/users_pb.ts";
import { type AccessRule, procedureOf } from "../../src/platform/policy.ts";
import { policy } from "../../src/policy.ts";
import { type HeaderFields, withFields } from "./callers.ts";
import type { Protocol } from "./protocols.ts";

/** A kind of caller: what it shows, and what by the policy comes of it. */
export interface CallerKind {
  readonly name: string;
  /** What it shows where an RPC takes this permission; undefined: none does. */
  readonly fields: (permission: string | undefined) => HeaderFields;
  /** Why it is nobody, where it is. */
  readonly nobodyBecause?: string;
  readonly holds: (permission: string) => boolean;
  /** Whether it asks about itself where it can. */
  readonly asksAboutItself?: boolean;
}

/** The users that calls are about. */
export interface Subjects {
  readonly self: { readonly id: string; readonly email: string };
  readonly other: { readonly id: string; readonly email: string };
}

/** A call of the matrix. */
export interface MatrixCall {
  readonly method: DescMethod;
  readonly kind: CallerKind;
  readonly protocol: Protocol;
}

/** All calls to the RPCs of some services. Connect's GET is for RPCs without side effects; to others it is a POST. */
export function listCalls(
  services: readonly DescService[],
  kinds: readonly CallerKind[],
  protocols: readonly Protocol[],
): MatrixCall[] {
  const methods = services.flatMap((service) => service.methods);
  return methods.flatMap((method) =>
    protocols
      .filter(({ name }) => !name.includes("GET") || isSafe(method))
      .flatMap((protocol) => kinds.map((kind) => ({ method, kind, protocol }))),
  );
}

function isSafe({ idempotency, methodKind }: DescMethod): boolean {
  return methodKind === "unary" && idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/** Makes a call and checks what has come of it against the policy. */
export async function checkCall(call: MatrixCall, transport: Transport, subjects: Subjects): Promise<void> {
  const { method, kind, protocol } = call;
  const rule = policy.get(procedureOf(method));
  assert.ok(rule, `${procedureOf(method)} is not in the policy`);
  const fields = kind.fields(rule.kind === "permission" ? rule.permission : undefined);
  const outcome = await attempt(
    method,
    withFields(transport, fields),
    makeMessage(method, rule, kind, subjects),
  );
  const what = `${kind.name}, ${procedureOf(method)}, ${protocol.name}`;
  assert.equal(outcome, expectedOutcome(rule, kind), what);
}

/** What the policy says must come of it: `admitted`, or status, reason and the permission that is missing. */
function expectedOutcome(rule: AccessRule, kind: CallerKind): string {
  if (rule.kind === "public") return "admitted";
  if (kind.nobodyBecause !== undefined) return `Unauthenticated ${kind.nobodyBecause}`;
  if (rule.kind === "authenticated" || kind.holds(rule.permission)) return "admitted";
  return rule.self !== undefined && kind.asksAboutItself === true
    ? "admitted"
    : `PermissionDenied PERMISSION_MISSING ${rule.permission}`;
}

/** What has come of it. Whoever is admitted need not succeed. */
async function attempt(method: DescMethod, transport: Transport, message: Message): Promise<string> {
  const client = createClient(method.parent, transport) as unknown as Record<
    string,
    (input: unknown, options: { signal: AbortSignal }) => Promise<unknown> & AsyncIterable<unknown>
  >;
  const over = new AbortController();
  const input = method.methodKind === "bidi_streaming" ? only(message) : message;
  try {
    const answer = client[method.localName]?.(input, { signal: over.signal });
    assert.ok(answer);
    if (method.methodKind === "unary") await answer;
    else for await (const _ of answer) break;
    return "admitted";
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    const { code } = error;
    if (code !== Code.Unauthenticated && code !== Code.PermissionDenied) return "admitted";
    const info = error.findDetails(ErrorInfoSchema)[0];
    const permission = info?.metadata["permission"];
    return [Code[code], info?.reason, ...(permission === undefined ? [] : [permission])].join(" ");
  } finally {
    over.abort();
  }
}

async function* only(message: Message): AsyncGenerator<Message> {
  yield message;
}

/** Somebody whom there is not: whoever may do anything to anybody does nothing to them. */
const nobodysId = "01890000-0000-7000-8000-000000000000";

function makeMessage(
  method: DescMethod,
  rule: AccessRule,
  kind: CallerKind,
  { self, other }: Subjects,
): Message {
  const hasSelf = rule.kind === "permission" && rule.self !== undefined;
  const { id, email } = hasSelf
    ? kind.asksAboutItself === true
      ? self
      : other
    : { id: nobodysId, email: "nobody@example.com" };
  const names = new Set(method.input.fields.map(({ localName }) => localName));
  if (names.has("userIds"))
    return create(method.input, { userIds: [id], start: UserEventsRequest_Start.EARLIEST });
  if (names.has("userId")) return create(method.input, { userId: id });
  if (names.has("user")) return create(method.input, { user: { id } });
  if (names.has("messageRequest")) {
    return create(method.input, { messageRequest: { case: "listServices", value: "" } });
  }
  if (hasSelf && names.has("id")) return create(method.input, { id });
  if (hasSelf && names.has("email")) return create(method.input, { email });
  return create(method.input, names.has("id") ? { id } : {});
}
