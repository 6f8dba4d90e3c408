const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const byteUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/**
 * Reads a duration such as `250ms`, `10s`, `5m`, `12h` or `30d`.
 *
 * @returns milliseconds, or undefined where the text is no duration
 */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/, durationUnits);
}

/**
 * Reads a size such as `4MiB`, `64KiB` or `1048576B`; a bare number is bytes.
 *
 * @returns bytes, or undefined where the text is no size
 */
export function parseByteSize(text: string): number | undefined {
  return parseQuantity(/^\d+$/.test(text) ? `${text}B` : text, /^(\d+)(B|KiB|MiB|GiB)$/, byteUnits);
}

function parseQuantity(
  text: string,
  pattern: RegExp,
  units: Readonly<Record<string, number>>,
): number | undefined {
  const match = pattern.exec(text);
  const unit = units[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    return undefined;
  }
  const value = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A moment as the contracts' 64-bit fields have it: whole seconds since 1970. */
export function toUnixSeconds(moment: Date): bigint {
  return BigInt(Math.floor(moment.getTime() / 1_000));
}
