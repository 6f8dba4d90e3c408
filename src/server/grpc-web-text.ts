import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { wrapHandler } from "./wrapped-handler.ts";

const textType = /^application\/grpc-web-text(?=$|[+;])/i;
const binaryType = /^application\/grpc-web(?=$|[+;])/i;

/**
 * Lets a handler of gRPC-Web's binary form also serve its text form, which is the same bytes in base64 and
 * which connect-es does not speak. Other requests pass through untouched.
 */
export function acceptGrpcWebText(handler: UniversalHandler): UniversalHandler {
  async function handle(request: UniversalServerRequest) {
    const type = request.header.get("content-type") ?? "";
    if (!textType.test(type)) {
      return handler(request);
    }
    const header = new Headers(request.header);
    header.set("content-type", type.replace(textType, "application/grpc-web"));
    const response = await handler({ ...request, header, body: decodeBase64(toBytes(request.body)) });
    const responseType = response.header?.get("content-type") ?? "";
    if (response.body === undefined || !binaryType.test(responseType)) {
      return response;
    }
    const responseHeader = new Headers(response.header);
    responseHeader.set("content-type", responseType.replace(binaryType, "application/grpc-web-text"));
    return { ...response, header: responseHeader, body: encodeBase64(toBytes(response.body)) };
  }
  const supports = (type: string | null): boolean =>
    handler.supportedContentType(type) || (type !== null && textType.test(type));
  return wrapHandler(handler, handle, {
    supportedContentType: Object.assign(supports, {
      supported: [...handler.supportedContentType.supported, textType],
    }),
  });
}

function toBytes(body: unknown): AsyncIterable<Uint8Array> {
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body) {
    return body as AsyncIterable<Uint8Array>;
  }
  throw new ConnectError("expected a byte stream", Code.Internal);
}

/** Each chunk stands for itself, padded, so that a reader need not wait for the next to decode it. */
async function* encodeBase64(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield Buffer.from(Buffer.from(chunk).toString("base64"), "latin1");
  }
}

/** Decodes base64 that may be padded anywhere between groups of four, since senders pad each frame. */
async function* decodeBase64(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = "";
  for await (const chunk of chunks) {
    const text = rest + Buffer.from(chunk).toString("latin1");
    const whole = text.length - (text.length % 4);
    rest = text.slice(whole);
    for (const piece of text.slice(0, whole).match(/[^=]+={0,2}|=+/g) ?? []) {
      if (piece.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(piece)) {
        throw new ConnectError(
          "the body is not base64, as application/grpc-web-text has it",
          Code.InvalidArgument,
        );
      }
      yield Buffer.from(piece, "base64");
    }
  }
  if (rest !== "") {
    throw new ConnectError("the body ends inside a group of base64", Code.InvalidArgument);
  }
}
