import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import {
  ConnectError,
  type ConnectRouter,
  type ContextValues,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { isAuthority } from "./authority.ts";
import { createBodyWatch } from "./body-watch.ts";
import { Call } from "./call.ts";
import type { MessageLimits } from "./codec.ts";
import { createCompressionChoice } from "./compression.ts";
import { readContentType, type Wire } from "./content-type.ts";
import type { CallObserver } from "./ended-call.ts";
import type { Exchange, Fields } from "./exchange.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import { createInvoker } from "./invoke.ts";
import { type RunCall, readRequest } from "./read-request.ts";
import { collectRoutes, type Route, type StreamRoute, type UnaryRoute } from "./routes.ts";
import { runStream } from "./run-stream.ts";
import { runUnary } from "./run-unary.ts";
import { SharedDeadline } from "./shared-deadline.ts";
import { createStallWatch } from "./stall-watch.ts";

/** A fast path beside connect-es's: it answers the requests that it takes and leaves the others alone. */
export interface Lane {
  /**
   * Answers a request on an HTTP/2 stream. False: it has not been touched. Otherwise `onClosed` is called when the stream
   * has closed.
   */
  takeStream(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    onClosed?: () => void,
  ): boolean;
  /** Answers a request over HTTP/1.1. False: it has not been touched. */
  takeRequest(request: IncomingMessage, response: ServerResponse): boolean;
  /** Whose patience has ended: requests that paused for too long, and responses that nobody took. */
  givenUp(): { readonly requests: number; readonly responses: number };
  close(): void;
}

/** What a lane is made of. What it shares with connect-es's router has the same meaning there. */
export interface LaneOptions extends MessageLimits {
  /** Registers every service: the same function that connect-es's router is given. */
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: readonly Interceptor[];
  /**
   * Refuses a call before anything of its request is read: with an error, at once where that is known at once. Must
   * neither throw nor reject.
   */
  readonly gate?: (method: DescMethod, values: ContextValues) => Verdict;
  /** Told of each call's end. */
  readonly observer?: CallObserver;
  /** Sets how long a call may last, by what its caller has asked for, in milliseconds; undefined: for ever. */
  readonly limitTimeout?: (method: DescMethod, requestedMs: number | undefined) => number | undefined;
  readonly acceptCompression: readonly Compression[];
  /** When it aborts, streams end with its reason, a ConnectError; unary calls finish. */
  readonly shutdownSignal: AbortSignal;
  /** A response whose peer takes no bytes for so long is cut off. */
  readonly stallTimeoutMs: number;
  /** A request whose peer sends no bytes for so long, though it has not ended, fails. */
  readonly bodyTimeoutMs?: number;
  /** Header fields of every response, by the request's: CORS, for example. */
  readonly commonFields?: (requestHeaders: IncomingHttpHeaders) => Fields;
  /** What a call's context holds from the beginning. Called when a handler or an interceptor reads from it. */
  readonly contextValues?: (
    request: Pick<Exchange, "requestHeaders" | "rawHeaders" | "remoteAddress" | "clientCertificate">,
  ) => ContextValues;
}

/** What a gate says: why a call is refused, or nothing. */
type Verdict = ConnectError | undefined | Promise<ConnectError | undefined>;

const noFields: Fields = {};

const defaultBodyTimeoutMs = 30_000;

/** Creates a lane. */
export function createLane(options: LaneOptions): Lane {
  const { gate, observer, readMaxBytes, shutdownSignal, commonFields = () => noFields } = options;
  const limitTimeout = options.limitTimeout ?? ((_method, requestedMs) => requestedMs);
  const makeContextValues = options.contextValues ?? (() => createContextValues());
  const routes = collectRoutes(options.routes, options);
  const chooseCompression = createCompressionChoice(options.acceptCompression);
  const invoker = createInvoker(options.interceptors);
  const stalls = createStallWatch(options.stallTimeoutMs);
  const bodies = createBodyWatch(options.bodyTimeoutMs ?? defaultBodyTimeoutMs);
  const reading = { readMaxBytes, bodies };
  const streams = new Set<Call>();
  const endStreams = (): void => {
    for (const call of streams) call.fail(shutdownSignal.reason as ConnectError);
  };
  shutdownSignal.addEventListener("abort", endStreams);

  const sharedDeadlines = new Map<number, SharedDeadline>();

  /** Calls that name no deadline all have the same. */
  function deadlineFor(timeoutMs: number): SharedDeadline {
    let deadline = sharedDeadlines.get(timeoutMs);
    if (deadline === undefined) {
      deadline = new SharedDeadline(timeoutMs);
      sharedDeadlines.set(timeoutMs, deadline);
    }
    return deadline;
  }

  function take(path: string | undefined, headers: IncomingHttpHeaders, open: () => Exchange): boolean {
    const route = routes.get(path ?? "");
    if (route === undefined) return false;
    const wire = chooseWire(route, headers);
    if (wire === undefined) return false;
    const requestedMs = wire.protocol.readTimeout(headers);
    if (requestedMs instanceof ConnectError) return false;
    const timeoutMs = limitTimeout(route.method, requestedMs);
    const isGiven = requestedMs === undefined && timeoutMs !== undefined;
    const accepted = headers[wire.protocol.acceptEncodingHeader] as string | undefined;
    run(
      new Call({
        exchange: open(),
        route,
        wire,
        timeoutMs,
        sharedDeadline: isGiven ? deadlineFor(timeoutMs) : undefined,
        observer,
        compression: chooseCompression(accepted),
        commonFields: commonFields(headers),
        makeContextValues,
      }),
    );
    return true;
  }

  const runUnaryCall: RunCall = (call, message) => runUnary(call, call.route as UnaryRoute, message, invoker);
  const runStreamCall: RunCall = (call, message) =>
    void runStream(call, call.route as StreamRoute, message, invoker, stalls);

  function run(call: Call): void {
    const verdict = gate?.(call.route.method, call.contextValues);
    if (call.route.kind === "unary") {
      readRequest(call, reading, afterGate(verdict, runUnaryCall));
    } else {
      streams.add(call);
      call.onClose = () => {
        streams.delete(call);
        stalls.taken(call.exchange);
      };
      readRequest(call, reading, afterGate(verdict, runStreamCall));
    }
    if (verdict !== undefined) heed(call, verdict);
    if (call.route.kind !== "unary" && shutdownSignal.aborted) {
      call.fail(shutdownSignal.reason as ConnectError);
    }
  }

  return {
    takeStream: (stream, headers, rawHeaders, onClosed) =>
      headers[":method"] === "POST" &&
      isAuthority((headers[":authority"] as string | undefined) ?? headers.host) &&
      take(
        headers[":path"] as string | undefined,
        headers,
        () => new Http2Exchange(stream, headers, rawHeaders, stalls, onClosed),
      ),
    takeRequest: (request, response) =>
      request.method === "POST" &&
      isAuthority(request.headers.host) &&
      take(request.url, request.headers, () => new Http1Exchange(request, response, stalls)),
    givenUp: () => ({ requests: bodies.givenUp, responses: stalls.cutOff }),
    close() {
      shutdownSignal.removeEventListener("abort", endStreams);
      stalls.close();
      for (const deadline of sharedDeadlines.values()) deadline.close();
      bodies.close();
    },
  };
}

/** A request without a body ends though nothing is read of it: it waits for the gate's verdict, too. */
function afterGate(verdict: Verdict, run: RunCall): RunCall {
  if (!(verdict instanceof Promise)) return run;
  return (call, message) =>
    void verdict.then((refusal) => {
      if (refusal === undefined && !call.isEnded) run(call, message);
    });
}

/** Nothing of a body has been read yet: that begins in a later tick. */
function heed(call: Call, verdict: NonNullable<Verdict>): void {
  if (verdict instanceof Promise) {
    call.exchange.pause();
    void verdict.then((refusal) => {
      if (refusal !== undefined) call.fail(refusal);
      call.exchange.resume();
    });
  } else {
    call.fail(verdict);
  }
}

/** What the request is written in; undefined where that is nothing that the lane reads. */
function chooseWire(route: Route, headers: IncomingHttpHeaders): Wire | undefined {
  const type = headers["content-type"];
  // An expectation (100-continue) is answered by Node, before the request is anybody's.
  if (type === undefined || headers.expect !== undefined) return undefined;
  const wire = readContentType(type, route.kind === "unary" ? "unary" : "stream");
  const compression = wire && headers[wire.protocol.encodingHeader];
  return compression === undefined || compression === "identity" ? wire : undefined;
}
