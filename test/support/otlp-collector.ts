import { EventEmitter, once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type ExportedSpan, readSpans } from "./otlp-spans.ts";
import { withDeadline } from "./with-deadline.ts";

/** A collector of traces (OTLP over HTTP), and all that it has been sent. */
export interface OtlpCollector {
  readonly url: string;
  readonly port: number;
  /** What it has taken. */
  readonly spans: readonly ExportedSpan[];
  /** Every byte that it was sent, header fields left out. */
  bytes(): Buffer;
  readonly requests: readonly IncomingHttpHeaders[];
  /** What it answers with from now on; undefined: with nothing, ever. */
  answer(status: number | undefined): void;
  /** Waits until it has taken a span, which it may have already. */
  until(what: string, isIt: (span: ExportedSpan) => boolean): Promise<ExportedSpan>;
  /** Waits until so many requests have come. */
  untilRequests(count: number): Promise<void>;
  close(): Promise<void>;
}

/** Starts it. @param port 0 takes a free one */
export async function startOtlpCollector(port = 0): Promise<OtlpCollector> {
  const bodies: Buffer[] = [];
  const spans: ExportedSpan[] = [];
  const requests: IncomingHttpHeaders[] = [];
  const heard = new EventEmitter();
  let status: number | undefined = 200;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    bodies.push(body);
    requests.push({ ...request.headers, ":path": request.url ?? "" });
    if (status === 200) spans.push(...readSpans(body));
    if (status !== undefined) response.writeHead(status, { "content-type": "application/x-protobuf" }).end();
    heard.emit("request");
  });
  await listen(server, port);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    spans,
    requests,
    bytes: () => Buffer.concat(bodies),
    answer: (given) => {
      status = given;
    },
    async until(what, isIt) {
      for (;;) {
        const span = spans.find(isIt);
        if (span !== undefined) return span;
        await withDeadline(`the collector to be sent ${what}`, once(heard, "request"));
      }
    },
    async untilRequests(count) {
      while (requests.length < count) {
        await withDeadline(`${count} requests to the collector`, once(heard, "request"));
      }
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
}
