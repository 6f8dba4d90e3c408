import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type {
  ContextValues,
  HandlerContext,
  Interceptor,
  StreamRequest,
  UnaryRequest,
} from "@connectrpc/connect";
import type { Call } from "./call.ts";

type Next = ReturnType<Interceptor>;
/** A request as interceptors get it. */
export type AnyRequest = Parameters<Next>[0];
/** A response as interceptors get it. */
export type AnyResponse = Awaited<ReturnType<Next>>;

const callOf = Symbol("call");

class LaneRequest {
  readonly [callOf]: Call;
  readonly requestMethod = "POST";
  readonly stream: boolean;
  readonly service: DescService;
  readonly method: DescMethod;
  readonly message: unknown;

  constructor(call: Call, message: unknown) {
    this[callOf] = call;
    this.stream = call.route.kind !== "unary";
    this.service = call.route.method.parent;
    this.method = call.route.method;
    this.message = message;
  }

  get header(): Headers {
    return this[callOf].requestHeader;
  }
  get signal(): AbortSignal {
    return this[callOf].signal;
  }
  get url(): string {
    return this[callOf].exchange.url;
  }
  get contextValues(): ContextValues {
    return this[callOf].contextValues;
  }
}

class LaneResponse {
  readonly [callOf]: Call;
  readonly stream: boolean;
  readonly service: DescService;
  readonly method: DescMethod;
  readonly message: unknown;

  constructor(call: Call, message: unknown) {
    this[callOf] = call;
    this.stream = call.route.kind !== "unary";
    this.service = call.route.method.parent;
    this.method = call.route.method;
    this.message = message;
  }

  get header(): Headers {
    return this[callOf].responseHeader;
  }
  get trailer(): Headers {
    return this[callOf].responseTrailer;
  }
}

// Accessors of the object itself survive `{ ...request }`, those of its class do not.
const ownOfRequest = ownAccessors(LaneRequest.prototype, ["header", "signal", "url", "contextValues"]);
const ownOfResponse = ownAccessors(LaneResponse.prototype, ["header", "trailer"]);

/**
 * The request of a call. Header object, signal and URL are made when they are read.
 *
 * @param copied whether somebody may pass on a changed copy, `next({ ...request, header })`, which costs some
 * microseconds to provide for
 */
export function createRequest(call: Call, message: unknown, copied: boolean): AnyRequest {
  const request = new LaneRequest(call, message);
  if (copied) Object.defineProperties(request, ownOfRequest);
  return request as unknown as AnyRequest;
}

/** The response of a call; `copied` is as in {@link createRequest}. */
export function createResponse(call: Call, message: unknown, copied: boolean): AnyResponse {
  const response = new LaneResponse(call, message);
  if (copied) Object.defineProperties(response, ownOfResponse);
  return response as unknown as AnyResponse;
}

/**
 * The same request or response with another message: `{ ...original, message }`, without making the lazy parts
 * that a spread would read.
 */
export function withMessage<T extends AnyRequest | AnyResponse>(original: T, message: T["message"]): T {
  const known: unknown = original;
  if (known instanceof LaneRequest) return createRequest(known[callOf], message, true) as T;
  if (known instanceof LaneResponse) return createResponse(known[callOf], message, true) as T;
  return { ...original, message };
}

/** The call of a request; undefined where it is not the lane's. */
export function callOfRequest(request: AnyRequest): Call | undefined {
  const known: unknown = request;
  return known instanceof LaneRequest ? known[callOf] : undefined;
}

/** Whether a response has the header objects of its call, and not others that an interceptor has given it. */
export function hasOwnMetadata(response: AnyResponse): boolean {
  return response instanceof LaneResponse;
}

/** What a handler gets beside the message: the call as the last interceptor has passed it on. */
export class LaneContext implements HandlerContext {
  readonly #call: Call;
  readonly #request: UnaryRequest | StreamRequest;

  constructor(call: Call, request: UnaryRequest | StreamRequest) {
    this.#call = call;
    this.#request = request;
  }

  get method(): DescMethod {
    return this.#call.route.method;
  }
  get service(): DescService {
    return this.#request.service;
  }
  get requestMethod(): string {
    return "POST";
  }
  get protocolName(): string {
    return this.#call.wire.protocol.name;
  }
  get signal(): AbortSignal {
    return this.#request.signal;
  }
  /** What {@link signal} says. The call knows it itself, unless an interceptor has passed on another signal. */
  get caller(): Pick<AbortSignal, "aborted" | "reason"> {
    return this.#request instanceof LaneRequest ? this.#call : this.#request.signal;
  }
  get url(): string {
    return this.#call.exchange.url;
  }
  get requestHeader(): Headers {
    return this.#request.header;
  }
  get responseHeader(): Headers {
    return this.#call.responseHeader;
  }
  get responseTrailer(): Headers {
    return this.#call.responseTrailer;
  }
  get values(): ContextValues {
    return this.#request.contextValues;
  }
  get timeoutMs(): () => number | undefined {
    return () => this.#call.remainingMs();
  }
}

function ownAccessors(prototype: object, names: readonly string[]): PropertyDescriptorMap {
  return Object.fromEntries(
    names.map((name) => [
      name,
      { ...Object.getOwnPropertyDescriptor(prototype, name), enumerable: true, configurable: true },
    ]),
  );
}
