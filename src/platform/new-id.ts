import { randomFillSync } from "node:crypto";
import { v7 as uuidv7 } from "uuid";

const randomBytes = 16;
/** Asking the system for 16 bytes costs more than all the rest of an id; for many at once it costs next to nothing. */
const pool = Buffer.alloc(256 * randomBytes);
let used = pool.length;

/** A new id: a UUID of version 7 (RFC 9562), which sorts by the time it is given. */
export function newId(now: Date): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + randomBytes);
  used += randomBytes;
  return uuidv7({ msecs: now.getTime(), random });
}
