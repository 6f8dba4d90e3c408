import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { EnvelopeReader } from "../src/lane/envelope.ts";
import { envelope } from "./support/raw-http.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 1_000 * Number(process.env["TEST_SCALE"] ?? 1);

const maxBytes = 20;
const messages = fc.array(fc.record({ flags: fc.nat(255), bytes: fc.uint8Array({ maxLength: maxBytes }) }), {
  maxLength: 5,
});
const cuts = fc.array(fc.nat(130), { maxLength: 12 });

/** What a reader makes of the bytes, where they come in pieces. */
function read(all: Buffer, places: readonly number[]): { found: string[]; error: string | undefined } {
  const found: string[] = [];
  const reader = new EnvelopeReader(maxBytes, {
    takeEnvelope: (flags, message) => void found.push(`${flags} ${Buffer.from(message).toString("hex")}`),
  });
  const bounds = [0, ...places.map((place) => place % (all.length + 1)).sort((a, b) => a - b), all.length];
  try {
    for (let at = 1; at < bounds.length; at++) reader.feed(all.subarray(bounds[at - 1], bounds[at]));
    reader.end();
  } catch (error) {
    return { found, error: (error as Error).message };
  }
  return { found, error: undefined };
}

const join = (sent: readonly { flags: number; bytes: Uint8Array }[]): Buffer =>
  Buffer.concat(sent.map(({ flags, bytes }) => envelope(bytes, flags)));

describe("envelopes", () => {
  test("are found wherever their bytes are cut", () => {
    fc.assert(
      fc.property(messages, cuts, (sent, places) => {
        const expected = sent.map(({ flags, bytes }) => `${flags} ${Buffer.from(bytes).toString("hex")}`);
        assert.deepEqual(read(join(sent), places), { found: expected, error: undefined });
      }),
      { numRuns },
    );
  });

  test("that are incomplete at the end are an error, wherever they are cut", () => {
    fc.assert(
      fc.property(
        messages,
        fc.uint8Array({ maxLength: maxBytes }),
        fc.nat(),
        cuts,
        (sent, last, cut, places) => {
          const whole = envelope(last);
          const part = whole.subarray(0, 1 + (cut % (whole.length - 1)));
          const { found, error } = read(Buffer.concat([join(sent), part]), places);
          assert.equal(found.length, sent.length);
          assert.match(error ?? "", /incomplete envelope/);
        },
      ),
      { numRuns },
    );
  });

  test("that claim too much are refused before any of it has come, those before them read", () => {
    fc.assert(
      fc.property(
        messages,
        fc.integer({ min: maxBytes + 1, max: 2 ** 32 - 1 }),
        cuts,
        (sent, claimed, places) => {
          const head = Buffer.alloc(5);
          head.writeUInt32BE(claimed, 1);
          const { found, error } = read(Buffer.concat([join(sent), head]), places);
          assert.equal(found.length, sent.length);
          assert.match(error ?? "", new RegExp(`message size ${claimed} is larger`));
        },
      ),
      { numRuns },
    );
  });
});
