import type { IncomingMessage, ServerResponse } from "node:http";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { FastifyInstance, FastifyReply } from "fastify";
import { clientCertificateOf } from "../lane/client-certificate.ts";
import type { Logger } from "../platform/logger.ts";
import type { createCallerContext } from "./caller-address.ts";
import type { StallGuard } from "./stall-guard.ts";

/** What the handlers need beside themselves. */
export interface MountDependencies {
  readonly stallGuard: StallGuard;
  /** What a call's context holds from the beginning. */
  readonly contextValues: ReturnType<typeof createCallerContext>;
  readonly logger: Logger;
}

/** Node's two kinds of response share what is used of them here. */
type GuardedResponse = Parameters<StallGuard["watch"]>[0];

/**
 * Mounts Connect's handlers on Fastify. It does what connect-fastify's plugin does, but takes handlers that
 * have been wrapped, and tells our logger, not the console, when a peer goes away in mid-answer.
 */
export async function mountHandlers(
  app: FastifyInstance,
  handlers: readonly UniversalHandler[],
  dependencies: MountDependencies,
): Promise<void> {
  const { logger } = dependencies;
  // Connect reads the body itself, whatever type it has; and where nothing is served, what it has is no matter.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, parsed) => parsed(null));
  await app.register(async (scope) => {
    for (const handler of handlers) {
      scope.all(handler.requestPath, (request, reply) => {
        reply.hijack();
        // Not awaited by anybody: on success it may not settle.
        void answer(handler, dependencies, request.raw, reply).catch((error: unknown) => {
          logger.debug({ err: error, path: handler.requestPath }, "the answer could not be sent");
          cutOff(reply.raw);
        });
      });
    }
  });
}

async function answer(
  handler: UniversalHandler,
  { stallGuard, contextValues }: MountDependencies,
  request: IncomingMessage,
  reply: FastifyReply,
): Promise<void> {
  const { headers: requestHeaders, rawHeaders, socket } = request;
  const values = contextValues({
    requestHeaders,
    rawHeaders,
    remoteAddress: socket.remoteAddress,
    // Now: over HTTP/2 the socket cannot be asked once the connection has closed.
    clientCertificate: clientCertificateOf(socket),
  });
  const response = await handler(universalRequestFromNodeRequest(request, reply.raw, undefined, values));
  // What hooks (CORS) have set, which Fastify itself sends only for the answers that it writes.
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  const { body } = response;
  const isStream = handler.method.methodKind !== "unary";
  const guarded = body && isStream ? stallGuard.watch(reply.raw as GuardedResponse, body) : body;
  await universalResponseToNodeResponse({ ...response, ...(guarded && { body: guarded }) }, reply.raw);
}

function cutOff(response: ServerResponse): void {
  try {
    if (!response.headersSent && !response.destroyed) {
      response.writeHead(500);
    }
    response.end();
  } catch {
    // What could not be sent is among the fields that have been set already.
    response.destroy();
  }
}
