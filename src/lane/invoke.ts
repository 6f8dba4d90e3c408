import { create, isMessage, type Message } from "@bufbuild/protobuf";
import type { HandlerContext, Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import { mapBursts } from "./bursts.ts";
import { type Call, LaneContext, LaneRequest } from "./call.ts";
import type { StreamRoute, UnaryRoute } from "./routes.ts";

type Next = ReturnType<Interceptor>;
type AnyRequest = Parameters<Next>[0];
type AnyResponse = Awaited<ReturnType<Next>>;

const callOfResponse = Symbol("call");

// As with requests: lazy, and of the object itself, so that it can be spread.
const lazily: PropertyDescriptorMap & ThisType<LaneResponse> = {
  header: {
    enumerable: true,
    get() {
      return this[callOfResponse].responseHeader;
    },
  },
  trailer: {
    enumerable: true,
    get() {
      return this[callOfResponse].responseTrailer;
    },
  },
};

class LaneResponse {
  readonly [callOfResponse]: Call;
  readonly stream: boolean;
  readonly service: Call["route"]["method"]["parent"];
  readonly method: Call["route"]["method"];
  readonly message: unknown;

  constructor(call: Call, message: unknown) {
    this[callOfResponse] = call;
    this.stream = call.route.kind !== "unary";
    this.service = call.route.method.parent;
    this.method = call.route.method;
    this.message = message;
    Object.defineProperties(this, lazily);
  }
}

/** Runs a unary call through the interceptors to its implementation, and returns the response message. */
export async function invokeUnary(
  call: Call,
  route: UnaryRoute,
  message: Message,
  interceptors: readonly Interceptor[],
): Promise<Message> {
  const response = await intercept(interceptors, async (request) => {
    const input = (request as UnaryRequest).message as Message;
    const output = await route.implementation(input, toContext(call, request));
    return toResponse(call, create(route.method.output, output as Message));
  })(toRequest(call, message));
  takeMetadata(call, response);
  return response.message as Message;
}

/** Runs a streaming call likewise, and returns the response messages. */
export async function invokeStream(
  call: Call,
  route: StreamRoute,
  message: Message,
  interceptors: readonly Interceptor[],
): Promise<{ messages: AsyncIterable<Message>; takeTrailer: () => void }> {
  const response = await intercept(interceptors, async (request) => {
    const [input] = await collect((request as StreamRequest).message);
    const output = route.implementation(input as Message, toContext(call, request));
    return toResponse(
      call,
      mapBursts(output, (burst) => normalize(route, burst)),
    );
  })(toRequest(call, only(message)));
  if (!isOwn(response, call)) call.responseHeader = response.header;
  return {
    messages: response.message as AsyncIterable<Message>,
    // The handler may set trailers up to its last message.
    takeTrailer: () => {
      if (!isOwn(response, call)) call.responseTrailer = response.trailer;
    },
  };
}

/** Whole messages, as interceptors expect them; the very same array where they are whole already. */
function normalize({ method }: StreamRoute, burst: readonly Message[]): readonly Message[] {
  return burst.every((message) => isMessage(message, method.output))
    ? burst
    : burst.map((message) => create(method.output, message));
}

function intercept(interceptors: readonly Interceptor[], innermost: Next): Next {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost);
}

function toRequest(call: Call, message: unknown): AnyRequest {
  return new LaneRequest(call, message) as unknown as AnyRequest;
}

function toResponse(call: Call, message: unknown): AnyResponse {
  return new LaneResponse(call, message) as unknown as AnyResponse;
}

function toContext(call: Call, request: AnyRequest): HandlerContext {
  return new LaneContext(call, request);
}

/** Takes over the header objects of a response that an interceptor has made anew. */
function takeMetadata(call: Call, response: AnyResponse): void {
  if (isOwn(response, call)) return;
  call.responseHeader = response.header;
  call.responseTrailer = response.trailer;
}

function isOwn(response: AnyResponse, call: Call): boolean {
  return response instanceof LaneResponse && response[callOfResponse] === call;
}

async function* only(message: Message): AsyncGenerator<Message> {
  yield message;
}

async function collect(messages: AsyncIterable<unknown>): Promise<unknown[]> {
  const collected: unknown[] = [];
  for await (const message of messages) collected.push(message);
  return collected;
}
