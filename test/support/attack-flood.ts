import { type AttackConnection, type ConnectionOutcome, openAttackConnection } from "./attack-connection.ts";
import { callFields, fieldBlock } from "./fuzz-frames.ts";

/** Frames in one write: fewer than the answers that nghttp2 lets pile up (1,000). */
const batch = 900;

/** Flags of HEADERS. */
export const [endStream, endHeaders] = [1, 4];
/** The header of a call. */
export const lookUp = fieldBlock(callFields("/users.v1.UserService/GetUser", "application/grpc"));

/** The same frame, or its like, over and over. */
export interface Flood {
  readonly count: number;
  /** Frames that come before. */
  readonly opening?: readonly Buffer[];
  /** Whether the answers are read. */
  readonly reads?: boolean;
  /** Waits for answers of this type, one for each frame, before it goes on: nothing ever piles up. */
  readonly awaited?: number;
  readonly frame: (index: number) => Buffer;
}

/** Sends it, as far as the server takes it. */
export async function flood(url: string, { count, opening = [], reads = true, awaited, frame: make }: Flood) {
  const connection = await openAttackConnection(url, { reads });
  await connection.send(Buffer.concat(opening));
  for (let sent = 0; sent < count; sent += batch) {
    const frames = Array.from({ length: batch }, (_, index) => make(sent + index));
    if (!(await connection.send(Buffer.concat(frames)))) break;
    if (awaited !== undefined) await connection.until(awaited, sent + batch);
  }
  return connection;
}

/** Sends all, and waits for the server to end the connection. */
export async function untilEnded(connection: Promise<AttackConnection>): Promise<ConnectionOutcome> {
  return (await connection).ended();
}

/** A number as frames have it. */
export function four(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
