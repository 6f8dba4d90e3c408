import type { RequestListener } from "./connections/listeners.ts";

/**
 * Answers a request whose target makes no URL (no Host, as HTTP/1.0 allows, or a malformed one) with 400.
 * connect-es would fail on it before it can answer and leave the caller waiting.
 *
 * @returns whether the request has been answered
 */
export function rejectMalformedTarget(...[request, response]: Parameters<RequestListener>): boolean {
  const authority = request.authority ?? request.headers.host ?? "";
  // The same URL that connect-es makes.
  if (authority !== "" && URL.canParse(request.url ?? "", `http://${authority}`)) {
    return false;
  }
  response.writeHead(400, { "content-type": "text/plain" });
  response.end("the request needs a valid Host header (HTTP/1.1) or :authority (HTTP/2)\n");
  return true;
}
