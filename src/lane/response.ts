import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes, trailerMux } from "@connectrpc/connect/protocol-connect";
import type { Call } from "./call.ts";
import { compressMinBytes } from "./compression.ts";
import { type Ending, makeEnding } from "./endings.ts";
import { compressedFlag, wrapInEnvelope } from "./envelope.ts";
import type { Fields } from "./exchange.ts";
import { toFields } from "./fields.ts";

/** Whatever a call failed with, as what its caller is told. Nothing that is not a ConnectError is shown. */
export function toConnectError(error: unknown): ConnectError {
  return error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal);
}

/** Sends the header fields of a response with envelopes, if they have not been sent. */
export function startResponse(call: Call): void {
  if (!call.exchange.isStarted) {
    call.exchange.start(200, headFields(call), call.wire.protocol.name === "grpc");
  }
}

/** Ends a response with envelopes, from wherever it is. `message` is the last envelope before the ending. */
export function endResponse(call: Call, error: ConnectError | undefined, message?: Buffer): void {
  const ending = makeEnding(call, error);
  if (ending instanceof Promise) {
    whenCompressed(call, ending, (late) => finish(call, late, message));
  } else {
    finish(call, ending, message);
  }
}

function finish(call: Call, { bytes, trailers }: Ending, message: Buffer | undefined): void {
  startResponse(call);
  const last =
    message !== undefined && bytes !== undefined ? Buffer.concat([message, bytes]) : (message ?? bytes);
  call.exchange.finish(last, trailers);
}

/** Answers a unary call. @throws ConnectError where the message cannot be encoded */
export function answerUnary(call: Call, message: Message): void {
  const bytes = call.codec.encode(message);
  const { compression } = call;
  if (compression !== undefined && bytes.length >= compressMinBytes) {
    whenCompressed(call, compression.compress(bytes), (compressed) => sendUnary(call, compressed, true));
  } else {
    sendUnary(call, bytes, false);
  }
}

function sendUnary(call: Call, bytes: Uint8Array, isCompressed: boolean): void {
  if (call.wire.protocol.enveloped) {
    endResponse(call, undefined, wrapInEnvelope(isCompressed ? compressedFlag : 0, bytes));
  } else {
    sendBody(call, 200, bytes, isCompressed);
  }
}

/** Answers a call with an error, in a unary call as its whole answer and in a stream as its end. */
export function answerError(call: Call, error: ConnectError): void {
  if (call.wire.protocol.enveloped) {
    endResponse(call, error);
    return;
  }
  const header = call.responseHeader;
  header.set("content-type", "application/json");
  if (!error.isWireError) mergeNonProtocolHeaders(header, error.metadata);
  const bytes = errorToJsonBytes(error, undefined);
  const { compression } = call;
  const status = codeToHttpStatus(error.code);
  if (compression !== undefined && bytes.length >= compressMinBytes) {
    whenCompressed(call, compression.compress(bytes), (compressed) =>
      sendBody(call, status, compressed, true),
    );
  } else {
    sendBody(call, status, bytes, false);
  }
}

/** The answer to a unary call of the Connect protocol: trailers are header fields, and the body is bare. */
function sendBody(call: Call, status: number, bytes: Uint8Array, isCompressed: boolean): void {
  const trailer = call.touchedResponseTrailer;
  if (trailer !== undefined) call.responseHeader = trailerMux(call.responseHeader, trailer);
  const fields = headFields(call);
  if (isCompressed && call.compression) fields["content-encoding"] = call.compression.name;
  fields["content-length"] = bytes.length;
  call.exchange.start(status, fields, false);
  call.exchange.finish(bytes, undefined);
}

function headFields(call: Call): Fields {
  const touched = call.touchedResponseHeader;
  return { ...call.commonFields, ...(touched === undefined ? call.protocolFields : toFields(touched)) };
}

function whenCompressed<T>(call: Call, compressing: Promise<T>, send: (compressed: T) => void): void {
  compressing.then(send).catch(() => call.exchange.cutOff("broken"));
}
