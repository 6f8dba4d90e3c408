import { bundlePage } from "./bundle.ts";
import { servePage } from "./page-server.ts";

// The example page at http://127.0.0.1:5173, or on the port of PORT.
const { port } = await servePage(await bundlePage(), Number(process.env["PORT"] ?? 5173));
process.stdout.write(`the example page: http://127.0.0.1:${port}\n`);
process.stdout.write("it calls http://127.0.0.1:8080 (npm start); ?server=URL names another server\n");
