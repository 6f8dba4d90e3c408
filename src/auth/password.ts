import type { FieldViolation } from "../platform/errors.ts";

const minBytes = 8;
const maxBytes = 1_024;

/**
 * The form in which a password is hashed and compared: NFKC, as NIST SP 800-63B (section 3.1.1.2) asks, so that one
 * that is typed on another keyboard or system is the same. Nothing else is changed: case, spaces and control
 * characters count.
 */
export function normalizePassword(text: string): string {
  return text.normalize("NFKC");
}

/** What is wrong with a new password, if anything; `field` is where it came from. The answer never repeats it. */
export function findPasswordViolation(text: string, field: string): FieldViolation | undefined {
  const isTooLong = Buffer.byteLength(text) > maxBytes;
  // Each is as long as it looks only in its normal form; the longest is not even brought into that.
  if (
    isTooLong ||
    Buffer.byteLength(text) < minBytes ||
    Buffer.byteLength(normalizePassword(text)) < minBytes
  ) {
    const description = `must be ${minBytes} to ${maxBytes} bytes of UTF-8`;
    return { field, description, reason: "password.length" };
  }
  // A later version of Unicode may normalise it in another way, and then it would not match any more.
  return !text.isWellFormed() || /\p{Cn}/u.test(text)
    ? {
        field,
        description: "must hold no characters that Unicode has not assigned",
        reason: "password.characters",
      }
    : undefined;
}
