import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { requestIdOf } from "../platform/call-scope.ts";
import type { RequestListener } from "./connections/listeners.ts";

type MakeFields = (requestHeaders: IncomingHttpHeaders) => OutgoingHttpHeaders;

/** Adds the id of the request to what every answer on the fast lane has. */
export function withRequestId(makeFields: MakeFields): MakeFields {
  return (requestHeaders) => ({
    ...makeFields(requestHeaders),
    "x-request-id": requestIdOf(requestHeaders),
  });
}

/** Puts the id of a request on its answer, whoever writes that: before anybody else has the request. */
export function nameAnswer(...[request, response]: Parameters<RequestListener>): void {
  response.setHeader("x-request-id", requestIdOf(request.headers));
}
