import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that notes every call, does with it what a script says, and knows nothing of users. */
export interface ScriptedServer {
  readonly url: string;
  readonly calls: readonly { readonly method: string; readonly headers: IncomingMessage["headers"] }[];
  close(): Promise<void>;
}

/** What becomes of a call: an empty answer, a failure with this code, or nothing at all. */
export type Outcome = "empty" | "silence" | keyof typeof failures;

const failures = { unavailable: 503, unauthenticated: 401, permission_denied: 403 };

/** Listens. @param decide is given the method's name and how often it has been called before */
export async function startScriptedServer(
  decide: (method: string, earlierCalls: number) => Outcome,
): Promise<ScriptedServer> {
  const calls: { method: string; headers: IncomingMessage["headers"] }[] = [];
  const server = createServer((request, response) => {
    const method = request.url?.split("/").at(-1) ?? "";
    const outcome = decide(method, calls.filter((call) => call.method === method).length);
    calls.push({ method, headers: request.headers });
    request.resume();
    if (outcome === "silence") return;
    response.writeHead(outcome === "empty" ? 200 : failures[outcome], { "content-type": "application/json" });
    response.end(outcome === "empty" ? "{}" : JSON.stringify({ code: outcome, message: "not now" }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
