import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { PageFile } from "./bundle.ts";

/** Files served on a port of this machine. */
export interface PageServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves files by their paths. It knows nothing of the bridge. @throws the system's error */
export async function servePage(files: ReadonlyMap<string, PageFile>, port: number): Promise<PageServer> {
  const server = createServer((request, response) => {
    const file = files.get(new URL(request.url ?? "/", "http://page").pathname);
    if (file === undefined) {
      response.writeHead(404).end();
    } else {
      response.writeHead(200, { "content-type": file.type }).end(file.content);
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
