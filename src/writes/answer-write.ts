import { createHash } from "node:crypto";
import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { callerOf } from "../lane/caller.ts";
import { callScope } from "../platform/call-scope.ts";
import { procedureOf } from "../platform/policy.ts";
import { anonymous, type Principal } from "../platform/principal.ts";
import type { Database } from "../schema.ts";
import { answerOnce } from "./answer-once.ts";
import { canonicalBytes } from "./canonical-bytes.ts";
import { idempotencyKeyHeader, readIdempotencyKey } from "./idempotency-key.ts";
import { KeyedCall } from "./keyed-call.ts";
import { RecordingCaller, type WriteCaller, type WriteRecord } from "./write-record.ts";

/** A write as a handler describes it. */
export interface HandledWrite<Result, Answer> {
  /** Carries it out; the caller must reach whatever makes the transaction. */
  readonly write: (caller: WriteCaller<Result>) => Promise<Result>;
  /** The response. Pure: it is also made in the transaction, to be kept for a repetition. */
  readonly answer: (result: Result) => Answer;
  /** Whom or what it was done to, for the audit log. */
  readonly subject: (result: Result) => string;
}

/**
 * Carries out the write of an RPC with all that belongs to it: its entry in the audit log and, where the call has an
 * `idempotency-key`, the answer of the first call with that key.
 *
 * @throws what the write throws; IdempotencyKeyReusedError, InvalidIdempotencyKeyError
 */
export type AnswerWrite = <Result, Answer extends object>(
  context: HandlerContext,
  request: Message,
  handled: HandledWrite<Result, Answer>,
) => Promise<Answer>;

/** What it is made of. */
export interface AnswerWriteDependencies {
  readonly database: Database;
  readonly now: () => Date;
  readonly observer?: AnswerObserver | undefined;
}

/** Told of calls with an idempotency key. Must not throw. */
export interface AnswerObserver {
  /** Its answer has been kept. */
  answerKept(): void;
  /** It has been given the answer that was kept for it. */
  answerRepeated(): void;
}

/** Creates it. Who calls, and from where, is read before the write: the connection may be gone behind it. */
export function createAnswerWrite({ database, now, observer }: AnswerWriteDependencies): AnswerWrite {
  const onRepeat = (): void => observer?.answerRepeated();
  return async <Result, Answer extends object>(
    context: HandlerContext,
    request: Message,
    { write, answer, subject }: HandledWrite<Result, Answer>,
  ): Promise<Answer> => {
    const { method } = context;
    const procedure = procedureOf(method);
    const scope = context.values.get(callScope);
    const { address, requestId } = scope;
    const { actor, credential } = scope.principal;
    const keyText = scope.header(idempotencyKeyHeader);
    const keyed =
      keyText === undefined
        ? undefined
        : readKeyedCall(keyText, scope.principal, procedure, canonicalBytes(method.input, request));

    const record = (result: Result): WriteRecord => ({
      audit: {
        occurredAt: now(),
        actor,
        credential,
        procedure,
        subject: subject(result),
        address,
        requestId,
      },
      answer: keyed?.keep(encode(method.output, answer(result))),
    });
    const caller = new RecordingCaller(callerOf(context), record, keyed?.keyHash);
    if (keyed === undefined) {
      return answer(await write(caller));
    }
    const bytes = await answerOnce(database, keyed, now, onRepeat, async () => {
      const result = await write(caller);
      observer?.answerKept();
      return encode(method.output, answer(result));
    });
    // The first answer goes the same way as its repetitions. It is the one that the handler's RPC promises.
    return fromBinary(method.output, bytes) as object as Answer;
  };
}

function encode(schema: DescMessage, answer: object): Uint8Array {
  return toBinary(schema, create(schema, answer as Message));
}

/**
 * Anybody may call what is public, so that strangers would share one set of keys: who gives a key that can be guessed
 * would find it taken. There a key belongs to its request.
 *
 * @throws InvalidIdempotencyKeyError
 */
function readKeyedCall(
  text: string,
  principal: Principal,
  procedure: string,
  request: Uint8Array,
): KeyedCall {
  const owner =
    principal === anonymous
      ? `${procedure} ${createHash("sha256").update(request).digest("base64")}`
      : principal.actor;
  return new KeyedCall(readIdempotencyKey(text, owner), procedure, request);
}
