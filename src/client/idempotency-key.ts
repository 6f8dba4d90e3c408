import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/** A write with the same key and the same request happens once; each attempt gets the first one's answer. */
export const idempotencyKeyHeader = "idempotency-key";

/** What the fields of a header are made of, as a Transport is given them. */
type HeaderFields = ConstructorParameters<typeof Headers>[0];

/** Whether a call can be made again although it may have happened. */
export function isRepeatable(method: DescMethod, header: HeaderFields | undefined): boolean {
  return hasNoSideEffects(method) || new Headers(header).has(idempotencyKeyHeader);
}

/** The headers with which a call can be repeated: those of a write get a key, unless the caller has given one. */
export function toRepeatable(method: DescMethod, header: HeaderFields | undefined): HeaderFields | undefined {
  if (isRepeatable(method, header)) return header;
  const withKey = new Headers(header);
  withKey.set(idempotencyKeyHeader, newIdempotencyKey());
  return withKey;
}

function hasNoSideEffects(method: DescMethod): boolean {
  return method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/** 128 random bits. Browsers have no `randomUUID` on pages that came over http. */
function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
