import { once } from "node:events";
import type { TestContext } from "node:test";
import { cleanUpAfter } from "./clean-up.ts";
import { connectRaw } from "./raw-http.ts";
import { withDeadline } from "./with-deadline.ts";

/** A TCP connection that sends what no HTTP client would. */
export interface RawSocket {
  send(bytes: string | Uint8Array): void;
  /** Waits until what has come matches. @returns all that has come, as latin1 */
  received(pattern: RegExp): Promise<string>;
  /** Waits until the server closes the connection. @returns all that came before */
  closed(): Promise<string>;
  /** Goes away at once, with a reset. */
  leave(): void;
}

/** Connects, until the test ends. */
export function openRawSocket(t: TestContext, url: string): RawSocket {
  const socket = connectRaw(url);
  cleanUpAfter(t, () => socket.destroy());
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
  });
  socket.on("error", () => {});
  return {
    send: (bytes) => void socket.write(bytes),
    async received(pattern) {
      while (!pattern.test(text)) {
        await withDeadline(`${pattern} in ${JSON.stringify(text.slice(-500))}`, once(socket, "data"), 5_000);
      }
      return text;
    },
    async closed() {
      if (!socket.closed) await withDeadline("the connection's end", once(socket, "close"), 10_000);
      return text;
    },
    leave: () => void socket.resetAndDestroy(),
  };
}

/** An HTTP/1.1 request. */
export function http1Request(
  path: string,
  contentType: string,
  body: string | Uint8Array,
  { target = path, host = "probe.test", more = "" } = {},
): Buffer {
  const bytes = Buffer.from(body);
  const head =
    `POST ${target} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: ${contentType}\r\n` +
    `content-length: ${bytes.length}\r\n${more}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), bytes]);
}
