import type { ConnectError } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { BodyWatch, Sender } from "../../lane/body-watch.ts";
import type { Awaited } from "../../lane/patience.ts";
import { wrapHandler } from "../wrapped-handler.ts";
import { EnvelopeCount } from "./envelope-count.ts";

/**
 * Lets a request fail whose body pauses for too long while its handler waits for it: until its end where it holds one
 * message; in a stream, for the first message and for the rest of one. Between messages a stream may be silent.
 */
export function guardBody(bodies: BodyWatch): (handler: UniversalHandler) => UniversalHandler {
  return (handler) => {
    const { methodKind } = handler.method;
    const hasMany = methodKind === "client_streaming" || methodKind === "bidi_streaming";

    function handle(request: UniversalServerRequest) {
      const { body } = request;
      if (typeof body !== "object" || body === null || !(Symbol.asyncIterator in body))
        return handler(request);
      const source = body as AsyncIterable<Uint8Array>;
      const guarded = new GuardedBody(source, bodies, hasMany ? new EnvelopeCount() : undefined);
      return handler({ ...request, body: guarded });
    }
    return wrapHandler(handler, handle);
  };
}

class GuardedBody implements Sender, AsyncIterableIterator<Uint8Array> {
  awaitedBefore: Awaited | undefined = undefined;
  awaitedAfter: Awaited | undefined = undefined;
  /** Whatever comes ends the wait. */
  readonly progress = 0;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #bodies: BodyWatch;
  readonly #envelopes: EnvelopeCount | undefined;
  #fail: ((error: ConnectError) => void) | undefined;

  constructor(source: AsyncIterable<Uint8Array>, bodies: BodyWatch, envelopes: EnvelopeCount | undefined) {
    this.#source = source[Symbol.asyncIterator]();
    this.#bodies = bodies;
    this.#envelopes = envelopes;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const next = this.#source.next();
    const result = await (this.#envelopes?.isBetweenMessages === true ? next : this.#inTime(next));
    if (result.done !== true) this.#envelopes?.feed(result.value);
    return result;
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  giveUp(error: ConnectError): void {
    this.#fail?.(error);
  }

  async #inTime(next: Promise<IteratorResult<Uint8Array>>): Promise<IteratorResult<Uint8Array>> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    this.#fail = reject;
    this.#bodies.waiting(this);
    try {
      return await Promise.race([next, late]);
    } finally {
      this.#bodies.arrived(this);
    }
  }
}
