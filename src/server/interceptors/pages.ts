import type { Interceptor } from "@connectrpc/connect";
import { OriginNotAllowedError } from "../../platform/access.errors.ts";
import { callScope } from "../../platform/call-scope.ts";
import type { PageRules } from "../page-rules.ts";

/**
 * Refuses the calls of pages that may not call. A GET tells of its page by the server's name alone.
 *
 * @throws (to the caller) OriginNotAllowedError
 */
export function createPageInterceptor(rules: PageRules): Interceptor {
  return (next) => (request) => {
    const { requestHeaders } = request.contextValues.get(callScope).origin;
    const { origin } = requestHeaders;
    const isAllowed =
      origin === undefined && request.requestMethod === "GET"
        ? rules.allowsHost(String(requestHeaders[":authority"] ?? requestHeaders.host))
        : rules.allowsOrigin(origin);
    if (!isAllowed) throw new OriginNotAllowedError();
    return next(request);
  };
}
