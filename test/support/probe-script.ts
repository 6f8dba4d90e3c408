import { once } from "node:events";
import { create, fromJson, type JsonValue, type Message, toJson } from "@bufbuild/protobuf";
import { anyPack, type Struct, StructSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { DomainError } from "../../src/platform/errors.ts";
import type { Probe } from "./probe-service.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

/** What the probe's handler does, in this order. As JSON, it is the request's message. */
export interface Script {
  readonly headers?: Pairs;
  readonly trailers?: Pairs;
  /** How many messages a stream has before it ends or fails. */
  readonly messages?: number;
  /** Characters of padding in each message. */
  readonly padding?: number;
  /** Fails with the reason of its signal once that aborts, or waits for ever. */
  readonly wait?: "aborted" | "forever";
  readonly fail?: "connect" | "wire" | "domain" | "error" | "string" | "unserializable";
  readonly code?: number;
  readonly text?: string;
  readonly metadata?: Pairs;
  readonly details?: boolean;
}

/** What an interceptor may set and a probe's answer shows. */
export const probeValue = createContextKey("unset");

class ProbeError extends DomainError {
  override readonly name = "ProbeError";
  readonly kind = "failed_precondition";
  readonly reason = "PROBE_FAILED";
  override readonly metadata = { probe_fact: "42" };
}

/** Does what the request says, and answers with what it sees of the request. */
export const scriptedProbe: Required<Probe> = {
  async call(request, context) {
    const script = readScript(request);
    setMetadata(script, context);
    await obey(script, context);
    return describeCall(script, context);
  },
  async *stream(request, context) {
    const script = readScript(request);
    setMetadata({ ...script, trailers: [] }, context);
    for (let index = 0; index < (script.messages ?? 0); index++) {
      yield describeCall(script, context, index);
    }
    setMetadata({ trailers: script.trailers ?? [] }, context);
    await obey(script, context);
    if (script.fail === "unserializable") yield unserializable();
  },
};

/** A message of the probe's service. */
export function toStruct(value: object): Struct {
  return fromJson(StructSchema, value as JsonValue);
}

function readScript(request: Message): Script {
  return toJson(StructSchema, request as Struct) as Script;
}

function setMetadata({ headers = [], trailers = [] }: Script, context: HandlerContext): void {
  for (const [name, value] of headers) context.responseHeader.append(name, value);
  for (const [name, value] of trailers) context.responseTrailer.append(name, value);
}

async function obey(script: Script, { signal }: HandlerContext): Promise<void> {
  if (script.wait === "forever") await new Promise(() => {});
  if (script.wait === "aborted") {
    if (!signal.aborted) await once(signal, "abort");
    throw signal.reason;
  }
  const text = script.text ?? "as asked";
  switch (script.fail) {
    case "connect":
    case "wire":
      throw failure(script, text);
    case "domain":
      throw new ProbeError(text, { cause: "secret" });
    case "error":
      throw new TypeError("secret");
    case "string":
      throw "secret";
  }
}

function failure({ code, metadata = [], details, fail }: Script, text: string): ConnectError {
  const error = new ConnectError(text, code ?? Code.Aborted, new Headers(metadata as [string, string][]));
  if (details === true) {
    error.details = [
      { desc: ErrorInfoSchema, value: { reason: "PROBE", metadata: { key: "välue" } } },
      {
        type: ErrorInfoSchema.typeName,
        value: anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { domain: "d" })).value,
      },
    ];
  }
  error.isWireError = fail === "wire";
  return error;
}

function describeCall(script: Script, context: HandlerContext, index = 0): Struct {
  if (script.fail === "unserializable" && script.messages === undefined) return unserializable();
  const header: Record<string, string> = {};
  for (const [name, value] of context.requestHeader) {
    // Where no timer can hold a timeout, the host shortens it in the header itself, for connect-es to read.
    if (!name.includes("timeout")) header[name] = value;
  }
  return toStruct({
    index,
    padding: "x".repeat(script.padding ?? 0),
    header,
    url: new URL(context.url).pathname,
    method: context.method.name,
    service: context.service.typeName,
    requestMethod: context.requestMethod,
    protocol: context.protocolName,
    hasDeadline: context.timeoutMs() !== undefined,
    isAborted: context.signal.aborted,
    value: context.values.get(probeValue),
  });
}

/** Neither format can write it. */
function unserializable(): Struct {
  const broken = { kind: { case: "listValue", value: 5 } } as unknown as Struct["fields"][string];
  return create(StructSchema, { fields: { broken } });
}
