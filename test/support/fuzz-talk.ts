import { TLSSocket } from "node:tls";
import { connectTo } from "./fuzz-client.ts";

/** How a client leaves. */
export type Leave = "end" | "reset" | "wait";

/** Longer than an answer takes that comes at once. What never comes is not waited for. */
const quietMs = 60;

/**
 * Says something over a connection of its own, chunk by chunk, waits until the server is silent for a moment or has
 * closed it, and leaves. @returns what came back
 */
export async function talk(url: string, chunks: readonly Buffer[], leave: Leave): Promise<Buffer> {
  const socket = connectTo(url, chunks[0]?.subarray(0, 3).equals(Buffer.from("PRI")) ? ["h2"] : ["http/1.1"]);
  const received: Buffer[] = [];
  let quiet: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    const rest = () => {
      clearTimeout(quiet);
      quiet = setTimeout(resolve, quietMs);
    };
    socket.on("data", (chunk) => {
      received.push(chunk as Buffer);
      rest();
    });
    socket.on("close", resolve);
    for (const chunk of chunks) socket.write(chunk);
    if (leave === "end") socket.end();
    rest();
  });
  clearTimeout(quiet);
  if (leave === "reset" && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
  else socket.destroy();
  return Buffer.concat(received);
}
