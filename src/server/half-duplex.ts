import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { wrapHandler } from "./wrapped-handler.ts";

/**
 * Lets a bidirectional stream be called over HTTP/1.1, where connect-es answers 505 to spare full-duplex clients
 * a hang. Sending all requests first and reading the responses then is sound on any version, and Node's own
 * HTTP/1.1 sends responses while requests still arrive.
 */
export function acceptHalfDuplexOverHttp1(handler: UniversalHandler): UniversalHandler {
  if (handler.method.methodKind !== "bidi_streaming") {
    return handler;
  }
  // connect-es reads the version for nothing but that refusal.
  const handle = (request: UniversalServerRequest) => handler({ ...request, httpVersion: "2.0" });
  return wrapHandler(handler, handle);
}
