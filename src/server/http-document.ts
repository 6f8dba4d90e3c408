import type { IncomingHttpHeaders } from "node:http";
import type { FastifyInstance } from "fastify";

/** What a document is answered with. Header names are in lower case. */
export interface DocumentAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Something that is not an RPC and that anybody may GET. */
export interface HttpDocument {
  readonly path: string;
  /** As it is now. */
  readonly answer: (requestHeaders: IncomingHttpHeaders) => DocumentAnswer | Promise<DocumentAnswer>;
}

/** Serves documents, each at its path. */
export function serveDocuments(app: FastifyInstance, documents: readonly HttpDocument[]): void {
  for (const { path, answer } of documents) {
    app.route({
      method: ["GET", "HEAD"],
      url: path,
      handler: async (request, reply) => {
        const { headers, body } = await answer(request.headers);
        return reply.headers(headers).send(body);
      },
    });
  }
}
