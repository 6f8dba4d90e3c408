import { setTimeout as delay } from "node:timers/promises";
import type { Transport } from "@connectrpc/connect";
import { checkRecord } from "../../test/support/fault-check.ts";
import { listUsers, readLog } from "../../test/support/fault-log.ts";
import type { FaultRecord } from "../../test/support/fault-record.ts";
import { accessByClient } from "../../test/support/log-access.ts";
import { findPosition } from "../../test/support/stream-history.ts";
import { whileBusy } from "./patience.ts";
import { findBreak, type SoakReader } from "./readers.ts";
import type { SoakReport } from "./report.ts";

/** How long the readers that keep up may still take to the log's end. */
const catchUpMs = 30_000;

/**
 * Compares what the clients were told with what there is.
 *
 * @param strangers emails of users that others have made
 * @param readers the first ones must get to the log's end, the slow ones only be right as far as they got
 */
export async function checkOutcome(
  transport: Transport,
  record: FaultRecord,
  strangers: ReadonlySet<string>,
  readers: { readonly prompt: readonly SoakReader[]; readonly slow: readonly SoakReader[] },
): Promise<Pick<SoakReport, "writes" | "streams">> {
  const log = await whileBusy(() => readLog(accessByClient(transport)));
  const users = await whileBusy(() => listUsers(transport));
  const missing: string[] = [];
  try {
    checkRecord(record, log, users, strangers);
  } catch (error) {
    missing.push(`what was written is not what was told: ${(error as Error).message.slice(0, 500)}`);
  }
  const end = BigInt(log.length);
  const deadline = performance.now() + catchUpMs;
  const isBehind = ({ history }: SoakReader) => (findPosition(history)?.revision ?? 0n) < end;
  while (readers.prompt.some(isBehind) && performance.now() < deadline) await delay(50);
  const all = [...readers.prompt, ...readers.slow];
  return {
    writes: { acknowledged: record.ledgers.reduce((sum, { steps }) => sum + steps.length, 0), missing },
    streams: {
      readers: all.length,
      events: all.reduce(
        (sum, { history }) => sum + history.items.filter(({ event }) => event !== undefined).length,
        0,
      ),
      broken: [
        ...readers.prompt.filter(isBehind).map(({ name }) => `${name} has not come to the end`),
        ...all.flatMap((reader) => findBreak(reader, log) ?? []),
      ],
    },
  };
}
