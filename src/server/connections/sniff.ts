import type net from "node:net";

/** Every HTTP/2 connection begins with these bytes (RFC 9113, section 3.4); no HTTP/1.1 method does. */
const prefaceStart = Buffer.from("PRI");

/**
 * Finds out what is spoken on a cleartext connection, or inside TLS without ALPN, by its first bytes. They stay in the
 * socket. Not called back where the connection ends before it has said enough.
 */
export function sniff(socket: net.Socket, found: (protocol: "http1" | "http2") => void): void {
  let seen: Buffer = Buffer.alloc(0);
  socket.on("readable", read);

  function read(): void {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) return;
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes]);
    const length = Math.min(seen.length, prefaceStart.length);
    const isPrefix = seen.subarray(0, length).equals(prefaceStart.subarray(0, length));
    if (isPrefix && length < prefaceStart.length) return;
    // Only now: what is put back makes the socket readable at once, and sniffing again would never end.
    socket.unshift(seen);
    socket.off("readable", read);
    found(isPrefix ? "http2" : "http1");
  }
}
