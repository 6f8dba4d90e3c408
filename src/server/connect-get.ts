import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

const base64Text = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * Refuses a Connect GET whose `message` is marked as base64 and is none. connect-es fails on it with an error of no
 * protocol and answers INTERNAL.
 *
 * @throws ConnectError INVALID_ARGUMENT
 */
export function refuseMalformedGet({ requestMethod, url }: HandlerContext): void {
  const query = requestMethod === "GET" ? new URL(url).searchParams : undefined;
  if (query?.get("base64") !== "1" || isBase64(query.get("message") ?? "")) return;
  throw new ConnectError("the query parameter message is not base64", Code.InvalidArgument);
}

/** Standard or URL-safe, padded or not; one digit left over encodes nothing. */
function isBase64(text: string): boolean {
  return base64Text.test(text) && text.replace(/=+$/, "").length % 4 !== 1;
}
