import type { Lane } from "../lane/lane.ts";
import { isLoopback } from "../platform/config-rules.ts";
import { allowOrigins } from "./cors.ts";

/** Which pages may call where nobody is asked for a credential. */
export interface PageRules {
  /** Undefined: no page calls, or one that GETs from its own origin. */
  allowsOrigin(origin: string | undefined): boolean;
  /** @param authority the name that the server is called by, as `Host` or `:authority` has it */
  allowsHost(authority: string): boolean;
}

/**
 * Makes the rules. CORS alone keeps pages from reading answers, and only where they call another origin: somebody whose
 * name first leads to their page and then to this machine (DNS rebinding) has the page call its own. But browsers say
 * of every call but a GET which origin it is from, and of every call which name they know the server by.
 *
 * @param origins as CORS has them
 */
export function createPageRules(origins: readonly string[] | undefined): PageRules {
  const isAllowed = allowOrigins(origins);
  const hosts = new Set(origins?.map((origin) => (origin === "*" ? origin : new URL(origin).hostname)));
  return {
    allowsOrigin: (origin) => origin === undefined || isAllowed(origin),
    allowsHost(authority) {
      if (hosts.has("*")) return true;
      const url = `http://${authority}`;
      if (!URL.canParse(url)) return false;
      const { hostname } = new URL(url);
      return hosts.has(hostname) || isLoopback(hostname.replace(/^\[|\]$/g, ""));
    },
  };
}

/** The same lane, which leaves alone what pages send that may not call: connect-es has who refuses it. */
export function keepPagesOff(lane: Lane, { allowsOrigin }: PageRules): Lane {
  return {
    ...lane,
    takeStream: (stream, headers, rawHeaders, onClosed) =>
      allowsOrigin(headers.origin) && lane.takeStream(stream, headers, rawHeaders, onClosed),
    takeRequest: (request, response) =>
      allowsOrigin(request.headers.origin) && lane.takeRequest(request, response),
  };
}
