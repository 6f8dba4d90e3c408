import { cors } from "@connectrpc/connect";
import type { FastifyCorsOptions } from "@fastify/cors";
import { isLoopback } from "../platform/config.ts";

/** Headers beyond those that the three protocols need. */
const ownRequestHeaders = [
  "Authorization",
  "Idempotency-Key",
  "X-Request-Id",
  "Traceparent",
  "Tracestate",
  "B3",
];
const ownResponseHeaders = ["X-Request-Id", "Earliest-Cursor"];

/** Browsers ask again after this long; Chromium's own limit. */
const preflightMaxAgeSeconds = 7_200;

/**
 * Says which browser origins may call, with the headers that Connect, gRPC-Web and gRPC read and write.
 *
 * @param origins exact origins, or "*"; undefined means pages served from this machine
 */
export function createCorsOptions(origins: readonly string[] | undefined): FastifyCorsOptions {
  const allowed = new Set(origins);
  const isAllowed = (origin: string): boolean =>
    origins === undefined ? isLoopbackOrigin(origin) : allowed.has("*") || allowed.has(origin);
  return {
    origin: (origin, answer) => answer(null, origin !== undefined && isAllowed(origin)),
    methods: [...cors.allowedMethods],
    allowedHeaders: [...cors.allowedHeaders, ...ownRequestHeaders],
    exposedHeaders: [...cors.exposedHeaders, ...ownResponseHeaders],
    maxAge: preflightMaxAgeSeconds,
    strictPreflight: false,
  };
}

function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(new URL(origin).hostname.replace(/^\[|\]$/g, ""));
}
