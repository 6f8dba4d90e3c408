import fc from "fast-check";

/** A field of a header. */
export type Field = readonly [name: string, value: string];

/** Real credentials, to be used as they are and to be spoilt. */
export interface KnownCredentials {
  /** Each may everything. */
  readonly allowed: readonly string[];
  /** Good, but without any permission. */
  readonly powerless: readonly string[];
}

/** What a call's credentials make of its caller: nobody; somebody who may do nothing; or it is not foreseen. */
export type Standing = "nobody" | "powerless" | "open";

/** The fields that say who calls, and what they must come to. */
export interface CredentialFields {
  readonly fields: readonly Field[];
  readonly standing: Standing;
}

const names = ["authorization", "x-api-key", "x-junjo-api-key", "Authorization", "X-API-KEY"] as const;

/** Texts of the sort that a credential is, none of which is one. */
const nonsense = fc.oneof(
  fc.constantFrom(
    "",
    "Bearer",
    "Bearer ",
    "bearer x",
    "Basic YWRtaW46YWRtaW4=",
    "Negotiate TlRMTVNTUAAB",
    'Digest username="admin", realm="", nonce="", uri="/", response=""',
    "Bearer null",
    "Bearer undefined",
    "Bearer a.b.c",
    "Bearer ..",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "Bearer ubk_",
    "ubk_",
    `ubk_${"a".repeat(49)}`,
    `Bearer ubk_${"\u00e9".repeat(49)}`,
    "Bearer a, Bearer b",
    "Bearer a Bearer b",
    "\t",
    "\u00e9\u00ff",
    "x".repeat(9_000),
    `Bearer ${"a.".repeat(3_000)}`,
    `Bearer ${"ey".repeat(1_000)}`,
    "Bearer __proto__",
    "startup-readiness-check",
  ),
  fc.string({
    unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength: 80,
  }),
  fc.json().map((json) => `Bearer ${[json, json, "x"].map(toBase64Url).join(".")}`),
  fc
    .record({
      alg: fc.constantFrom("none", "None", "HS256", "RS256", "EdDSA", "ES256", "", 5, null),
      kid: fc.constantFrom("", "../../key", "' or 1=1 --", "a", "x".repeat(500), 7, undefined),
      typ: fc.constantFrom("JWT", "at+jwt", undefined),
      crit: fc.constantFrom(undefined, ["exp"], "b64", []),
      jwk: fc.constantFrom(undefined, {}, { kty: "oct", k: "AAAA" }),
    })
    .map(
      (head) =>
        `Bearer ${toBase64Url(JSON.stringify(head))}.${toBase64Url('{"sub":"a","exp":9999999999}')}.AAAA`,
    ),
);

/** Header fields that show a credential, or something like one, or nothing. */
export function credentialsOf({ allowed, powerless }: KnownCredentials): fc.Arbitrary<CredentialFields> {
  const real = [...allowed, ...powerless];
  const wrong = real.length === 0 ? nonsense : fc.oneof(nonsense, spoilt(real));
  const name = fc.constantFrom(...names);
  const one = fc
    .tuple(name, wrong)
    .map((field): CredentialFields => ({ fields: [field], standing: "nobody" }));
  const several = fc
    .array(fc.tuple(name, wrong), { minLength: 2, maxLength: 4 })
    // HTTP joins repeated fields, Node keeps the first of some: that none is a credential is all that matters.
    .map((fields): CredentialFields => ({ fields, standing: "nobody" }));
  const none = fc.constant<CredentialFields>({ fields: [], standing: "nobody" });
  const good = (texts: readonly string[], standing: Standing) =>
    fc
      .tuple(name, fc.constantFrom(...texts))
      .map(([key, text]): CredentialFields => ({ fields: [present(key, text)], standing }));
  // Beside a good one, another is not overlooked, unless HTTP itself drops the field for its characters.
  const mixed = () =>
    fc.tuple(fc.constantFrom(...real), wrong).map(
      ([text, other]): CredentialFields => ({
        fields: [
          ["authorization", `Bearer ${text}`],
          ["x-api-key", other],
        ],
        standing: isFieldValue(other.trim()) ? "nobody" : "open",
      }),
    );
  return fc.oneof(
    { weight: 2, arbitrary: none },
    { weight: 4, arbitrary: one },
    { weight: 2, arbitrary: several },
    ...(allowed.length > 0 ? [{ weight: 5, arbitrary: good(allowed, "open") }] : []),
    ...(powerless.length > 0 ? [{ weight: 3, arbitrary: good(powerless, "powerless") }] : []),
    ...(real.length > 0 ? [{ weight: 2, arbitrary: mixed() }] : []),
  );
}

/** A credential in the form that its field takes. Tokens are for `authorization` alone. */
function present(name: string, text: string): Field {
  const isKey = text.startsWith("ubk_");
  return isKey && name.toLowerCase() !== "authorization" ? [name, text] : ["authorization", `Bearer ${text}`];
}

/** Real ones with something changed, such that none is good any more. */
function spoilt(texts: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.constantFrom(...texts),
      fc.constantFrom("flip", "cut", "head", "double", "case", "none", "segment", "inner", "space"),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    )
    .map(([text, how, where]) => `Bearer ${spoil(text, how, where)}`);
}

function spoil(text: string, how: string, where: number): string {
  // Not the last four characters: base64 leaves bits of a last character unused.
  const at = 1 + Math.floor(where * (text.length - 5));
  switch (how) {
    case "flip":
      return text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
    case "cut":
      return text.slice(0, at);
    case "head":
      return text.slice(at + 1);
    case "double":
      return text + text;
    case "case":
      return text.toUpperCase();
    case "none": {
      const [, claims = ""] = text.split(".");
      return `${toBase64Url('{"alg":"none"}')}.${claims}.`;
    }
    case "segment":
      return text.includes(".") ? text.split(".").slice(0, 2).join(".") : text.slice(0, -7);
    case "inner":
      return `${text.slice(0, at)}.${text.slice(at)}`;
    default:
      return `${text.slice(0, at)} ${text.slice(at)}`;
  }
}

function isFieldValue(text: string): boolean {
  return text !== "" && [...text].every((character) => character >= " " && character !== "\x7f");
}

function toBase64Url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
