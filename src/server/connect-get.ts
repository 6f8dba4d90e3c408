import { Code, ConnectError } from "@connectrpc/connect";
import {
  createAsyncIterable,
  type UniversalHandler,
  type UniversalServerRequest,
} from "@connectrpc/connect/protocol";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { wrapHandler } from "./wrapped-handler.ts";

const base64Text = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * Refuses a Connect GET whose `message` is marked as base64 and is none, with INVALID_ARGUMENT. connect-es
 * fails on it with an error of no protocol and answers INTERNAL.
 */
export function refuseMalformedGet(handler: UniversalHandler): UniversalHandler {
  async function handle(request: UniversalServerRequest) {
    const query = request.method === "GET" ? new URL(request.url).searchParams : undefined;
    if (query?.get("base64") !== "1" || isBase64(query.get("message") ?? "")) {
      return handler(request);
    }
    const error = new ConnectError("the query parameter message is not base64", Code.InvalidArgument);
    return {
      status: 400,
      header: new Headers({ "content-type": "application/json" }),
      body: createAsyncIterable([errorToJsonBytes(error, undefined)]),
    };
  }
  return wrapHandler(handler, handle);
}

/** Standard or URL-safe, padded or not; one digit left over encodes nothing. */
function isBase64(text: string): boolean {
  return base64Text.test(text) && text.replace(/=+$/, "").length % 4 !== 1;
}
