import type { FastifyInstance } from "fastify";

/** Something that is not an RPC and that anybody may GET. */
export interface HttpDocument {
  readonly path: string;
  /** As it is now. Header names are in lower case. */
  readonly answer: () => { readonly headers: Readonly<Record<string, string>>; readonly body: string };
}

/** Serves documents, each at its path. */
export function serveDocuments(app: FastifyInstance, documents: readonly HttpDocument[]): void {
  for (const { path, answer } of documents) {
    app.route({
      method: ["GET", "HEAD"],
      url: path,
      handler: (_request, reply) => {
        const { headers, body } = answer();
        return reply.headers(headers).send(body);
      },
    });
  }
}
