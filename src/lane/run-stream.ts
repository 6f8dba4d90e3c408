import type { Message } from "@bufbuild/protobuf";
import { readBursts } from "./bursts.ts";
import type { Call } from "./call.ts";
import { compressMinBytes } from "./compression.ts";
import { encodeBurst } from "./encode-once.ts";
import { compressedFlag, wrapInEnvelope } from "./envelope.ts";
import type { Invoker } from "./invoke.ts";
import { endResponse, startResponse, toConnectError } from "./response.ts";
import type { StreamRoute } from "./routes.ts";
import type { StallWatch } from "./stall-watch.ts";

/**
 * How long a stream may be silent before its header fields go out without waiting for its first message. Until
 * then a handler can set some; but clients wait for them, and some give up.
 */
const silentHeadMs = 1_000;

/**
 * Runs a server-streaming call. Between two bursts nothing is buffered: the next is asked for when the peer has
 * taken the last. It ends, whether its handler notices or not, at its deadline and when its peer is gone.
 */
export async function runStream(
  call: Call,
  route: StreamRoute,
  message: Message,
  invoker: Invoker,
  stalls: StallWatch,
): Promise<void> {
  const silence = setTimeout(() => {
    try {
      startResponse(call);
    } catch (error) {
      call.fail(toConnectError(error));
    }
  }, silentHeadMs);
  let leave = (): void => {};
  let left: Promise<void> | undefined;
  call.beginWork();
  call.onEnd = () => {
    clearTimeout(silence);
    leave();
    // The end of the answer waits to be taken, too.
    setImmediate(() => {
      if (call.exchange.pendingBytes > 0) stalls.waiting(call.exchange);
    });
  };
  try {
    const { messages, takeTrailer } = await invoker.stream(call, route, message);
    const iterator = readBursts(messages)[Symbol.asyncIterator]();
    // Not awaited: a source that is stuck in an await would hold up the end of the call.
    leave = () => {
      left = leaveSource(iterator);
    };
    if (call.isEnded) leave();
    while (!call.isEnded) {
      const next = await iterator.next();
      if (call.isEnded) return;
      if (next.done === true) {
        takeTrailer();
        endResponse(call, undefined);
        call.end();
        return;
      }
      clearTimeout(silence);
      await send(call, next.value, stalls);
    }
  } catch (error) {
    call.fail(toConnectError(error));
  } finally {
    await left;
    call.endWork();
  }
}

/** Whatever an iterator does when it is left, the call is over. */
async function leaveSource(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {}
}

async function send(call: Call, burst: readonly Message[], stalls: StallWatch): Promise<void> {
  const { exchange, codec, compression } = call;
  const encoded = encodeBurst(codec, burst);
  const bytes =
    compression === undefined || encoded.longest < compressMinBytes
      ? encoded.bytes
      : await compressEach(call, burst);
  if (call.isEnded) return;
  startResponse(call);
  if (exchange.write(bytes)) return;
  stalls.waiting(exchange);
  await exchange.drained();
  stalls.taken(exchange);
}

async function compressEach({ codec, compression }: Call, burst: readonly Message[]): Promise<Buffer> {
  const envelopes = burst.map(async (message) => {
    const bytes = codec.encode(message);
    return compression === undefined || bytes.length < compressMinBytes
      ? wrapInEnvelope(0, bytes)
      : wrapInEnvelope(compressedFlag, await compression.compress(bytes));
  });
  return Buffer.concat(await Promise.all(envelopes));
}
