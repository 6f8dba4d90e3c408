import { join } from "node:path";
import { bundlePage, bundleScript } from "../../web/bundle.ts";
import { type PageServer, servePage } from "../../web/page-server.ts";

/** Serves the example page and, at `/grpc-web-text.html`, one with the classic gRPC-Web client. */
export async function servePages(): Promise<PageServer> {
  const classic = await bundleScript(join(import.meta.dirname, "grpc-web-text.page.ts"));
  const files = new Map([
    ...(await bundlePage()),
    [
      "/grpc-web-text.html",
      { type: "text/html", content: '<script src="grpc-web-text.js"></script>' },
    ] as const,
    ["/grpc-web-text.js", { type: "text/javascript", content: classic }] as const,
  ]);
  return servePage(files, 0);
}
