import { type FieldViolation, InvalidInputError } from "../platform/errors.ts";
import { isStorableText } from "../platform/storable-text.ts";

/** The texts of one field: itself, a list's items, or a map's keys and values. */
export type FieldTexts = string | readonly string[] | Readonly<Record<string, string>> | undefined;

/**
 * Refuses what PostgreSQL cannot store in a text or in jsonb and would fail on.
 *
 * @param fields by the names that the .proto file gives them
 * @throws InvalidInputError that names each field at fault
 */
export function requireStorable(fields: Readonly<Record<string, FieldTexts>>): void {
  const violations = Object.entries(fields)
    .filter(([, texts]) => !listTexts(texts).every(isStorableText))
    .map(
      ([field]): FieldViolation => ({
        field,
        description: "must not contain the character U+0000 or half a surrogate pair",
        reason: "storable_text",
      }),
    );
  if (violations.length > 0) {
    throw new InvalidInputError(violations);
  }
}

function listTexts(texts: FieldTexts): readonly string[] {
  switch (typeof texts) {
    case "undefined":
      return [];
    case "string":
      return [texts];
    default:
      return Object.entries(texts).flat();
  }
}
