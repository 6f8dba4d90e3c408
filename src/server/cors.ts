import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { cors } from "@connectrpc/connect";
import type { FastifyCorsOptions } from "@fastify/cors";
import { isLoopback } from "../platform/config-rules.ts";

/** Headers beyond those that the three protocols need. */
const ownRequestHeaders = [
  "Authorization",
  "X-Api-Key",
  "Idempotency-Key",
  "X-Request-Id",
  "Traceparent",
  "Tracestate",
  "B3",
];
const ownResponseHeaders = ["X-Request-Id", "Earliest-Cursor", "Retry-After"];

const exposedHeaders = [...cors.exposedHeaders, ...ownResponseHeaders];
const exposedText = exposedHeaders.join(", ");

/** Browsers ask again after this long; Chromium's own limit. */
const preflightMaxAgeSeconds = 7_200;

/**
 * Says which browser origins may call, with the headers that Connect, gRPC-Web and gRPC read and write.
 *
 * @param origins exact origins, or "*"; undefined means pages served from this machine
 */
export function createCorsOptions(origins: readonly string[] | undefined): FastifyCorsOptions {
  const isAllowed = allowOrigins(origins);
  return {
    origin: (origin, answer) => answer(null, origin !== undefined && isAllowed(origin)),
    methods: [...cors.allowedMethods],
    allowedHeaders: [...cors.allowedHeaders, ...ownRequestHeaders],
    exposedHeaders,
    maxAge: preflightMaxAgeSeconds,
    strictPreflight: false,
  };
}

/**
 * Makes the header fields of every answer on the fast lane, which Fastify's plug-in does not see: the very fields
 * that the plug-in sends, by the origin that calls.
 */
export function createCorsFields(
  origins: readonly string[] | undefined,
): (requestHeaders: IncomingHttpHeaders) => OutgoingHttpHeaders {
  const isAllowed = allowOrigins(origins);
  const anonymous = { vary: "Origin" };
  return ({ origin }) =>
    origin === undefined || !isAllowed(origin)
      ? anonymous
      : {
          ...anonymous,
          "access-control-allow-origin": origin,
          "access-control-expose-headers": exposedText,
        };
}

/** Says of an origin whether it may call. @param origins as {@link createCorsOptions} takes them */
export function allowOrigins(origins: readonly string[] | undefined): (origin: string) => boolean {
  const allowed = new Set(origins);
  return (origin) =>
    origins === undefined ? isLoopbackOrigin(origin) : allowed.has("*") || allowed.has(origin);
}

function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(new URL(origin).hostname.replace(/^\[|\]$/g, ""));
}
