import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError, ContextValues } from "@connectrpc/connect";

/** What became of a call, on whatever way it was answered. */
export interface EndedCall {
  readonly method: DescMethod;
  /** The values of the call's context. */
  readonly contextValues: ContextValues;
  readonly protocol: "grpc" | "grpc-web" | "connect";
  /** What it failed with; undefined where it has ended well. */
  readonly error: ConnectError | undefined;
  /** From its header's arrival until its outcome was decided. */
  readonly durationMs: number;
  /** Of the body, as it came over the wire. */
  readonly requestBytes: number;
  /** Of the body, as it was given to the wire. */
  readonly responseBytes: number;
}

/** Told of every call that a gate was asked about, be it refused. Must not throw. */
export interface CallObserver {
  /** A call is over: its answer has been taken, or its peer is gone. Once a call. */
  ended(call: EndedCall): void;
  /**
   * Nobody works for the call any more: its outcome is decided, and its handler has come to an end, which it may do
   * long after its caller has left. Once a call, before or after {@link ended}.
   */
  released(contextValues: ContextValues): void;
}
