import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";

/** The same RPC with something done before or after it, and what else differs. */
export function wrapHandler(
  handler: UniversalHandler,
  handle: (request: UniversalServerRequest) => Promise<UniversalServerResponse>,
  differences: Partial<Pick<UniversalHandler, "supportedContentType">> = {},
): UniversalHandler {
  return Object.assign(handle, {
    service: handler.service,
    method: handler.method,
    requestPath: handler.requestPath,
    protocolNames: handler.protocolNames,
    allowedMethods: handler.allowedMethods,
    supportedContentType: handler.supportedContentType,
    ...differences,
  });
}
