/** A message of PostgreSQL's protocol. */
export interface WireMessage {
  /** Which connection it is on. */
  readonly connection: number;
  readonly from: "server" | "client";
  /** Its letter, e.g. `C` for CommandComplete; empty for what opens a connection. */
  readonly type: string;
  /** Its body, with whatever text is in it: a command's tag, a statement. */
  readonly text: string;
  readonly bytes: Buffer;
}

/**
 * Reads PostgreSQL's messages out of one direction of a connection: a letter (but in what opens it), a length that
 * counts itself, a body. https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @returns takes the next bytes and gives the messages that are whole by then
 */
export function readPostgresMessages(
  from: WireMessage["from"],
  connection: number,
): (chunk: Buffer) => Iterable<WireMessage> {
  let held = Buffer.alloc(0);
  let isFirst = from === "client";
  return function* (chunk) {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const letters = isFirst ? 0 : 1;
      if (held.length < letters + 4) return;
      const end = letters + held.readInt32BE(letters);
      if (held.length < end) return;
      const bytes = held.subarray(0, end);
      held = held.subarray(end);
      isFirst = false;
      yield {
        connection,
        from,
        type: bytes.toString("latin1", 0, letters),
        text: bytes.toString("utf8", letters + 4),
        bytes,
      };
    }
  };
}
