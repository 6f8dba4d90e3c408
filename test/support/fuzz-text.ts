import fc from "fast-check";

/** Texts that mean something to the program under test, by the name of the field they belong in. */
export type Vocabulary = Readonly<Record<string, readonly string[]>>;

/** Texts that have broken one program or another. */
const hostileTexts = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "\udc00\ud800",
  "\ufeffa",
  "\u202eabc",
  "\u0130\u0131\u212a\u00df",
  "e\u0301".repeat(300),
  "\u{1f469}\u200d\u{1f469}\u200d\u{1f466}",
  "\uff10\uff11",
  "%_\\",
  "' or 1=1 --",
  '"; drop table users; --',
  "$1",
  "../../../etc/passwd",
  "__proto__",
  "constructor",
  "a\r\nb: c",
  "null",
  "1e999",
  "-0",
  "9".repeat(400),
  "x".repeat(10_000),
  "\u{10ffff}\uffff",
  "a@b",
  `${"a".repeat(64)}@${"b.".repeat(90)}example`,
  "00000000-0000-0000-0000-000000000000",
  "{00000000-0000-7000-8000-000000000000}",
  "AAAA",
  "eyJhbGciOiJub25lIn0.e30.",
];

const shaped: Readonly<Record<string, fc.Arbitrary<string>>> = {
  email: fc.nat(30).map((n) => `Fuzz${n}@example.com`),
  username: fc.nat(30).map((n) => `fuzz_${n}x`),
  name: fc.nat(9).map((n) => `fuzz${n}`),
  role: fc.nat(9).map((n) => `fuzz${n}`),
  permission: fc.nat(9).map((n) => `fuzz:p${n}`),
  scopes: fc.nat(9).map((n) => `fuzz:p${n}`),
  password: fc.nat(9).map((n) => `correct horse ${n}`),
  types: fc.constantFrom("user_registered", "user_deleted", "progress"),
  filters: fc.constantFrom("is_active", "true"),
};

const hostile = fc.oneof(fc.constantFrom(...hostileTexts), fc.string({ unit: "binary", maxLength: 40 }));

/** Any text for a field of a name: one that fits, one that another field would take, or one that nobody expects. */
export function textsFor(fieldName: string, vocabulary: Vocabulary): fc.Arbitrary<string> {
  const key = /(^|_)ids?$/.test(fieldName) ? "id" : fieldName;
  const known = vocabulary[key] ?? [];
  const all = Object.values(vocabulary).flat();
  return fc.oneof(
    { weight: 3, arbitrary: hostile },
    ...(known.length > 0 ? [{ weight: 4, arbitrary: fc.constantFrom(...known) }] : []),
    ...(all.length > 0 ? [{ weight: 1, arbitrary: fc.constantFrom(...all) }] : []),
    { weight: 3, arbitrary: shaped[key] ?? fc.uuid() },
  );
}
