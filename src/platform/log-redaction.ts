/** What stands in the log instead of a secret. */
const redacted = "[redacted]";

const secretWords =
  "(?:authorization|cookie|password|passwd|passphrase|secret|token|(?:api|idempotency|encryption|private)[-_]?key)s?(?:[-_]?hash)?";

/** Names of fields whose values are secret: `x-api-key`, `refreshToken`, `KEY_ENCRYPTION_KEY`, `Set-Cookie` … */
const secretName = new RegExp(`${secretWords}$`, "i");

/** What can be told by its form to be a secret, wherever it stands. */
const secretForms: readonly (readonly [form: RegExp, instead: string])[] = [
  // API keys and refresh tokens. Their first characters may be shown: those are what people know a key by.
  [/\bub([kr])_[\w-]{16,}/g, `ub$1_${redacted}`],
  // JSON Web Tokens, also without their signature: all begin with `{"`, in base64.
  [/\beyJ[\w-]{6,}(?:\.[\w-]*)*/g, redacted],
  // `scheme://user:password@host`
  [/(:\/\/[^\s/?#:@"]*:)[^\s/?#]*@/g, `$1${redacted}@`],
  [/\b(bearer|basic)\s+[\w.~+/-]{6,}=*/gi, `$1 ${redacted}`],
  [/\$argon2\w*\$[\w$=,+/.-]+/g, redacted],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, redacted],
  // `"password":"…"` and `"password","…"`, also where JSON within JSON has its quotation marks behind backslashes
  [
    new RegExp(`(${secretWords}(\\\\*)(["'])\\s*[:,]\\s*\\2\\3)[\\s\\S]*?(?=(?<!\\\\)\\2\\3|$)`, "gi"),
    `$1${redacted}`,
  ],
  // `"password":{…`: where that ends is not looked for
  [new RegExp(`(${secretWords}\\\\*["']\\s*[:,]\\s*)[\\[{][\\s\\S]*`, "gi"), `$1${redacted}`],
  // `password=…`, as connection strings, forms and queries have it
  [new RegExp(`(${secretWords}=)(?:"[^"]*"|'[^']*'|[^\\s&"']+)`, "gi"), `$1${redacted}`],
  // Fields of a header as text
  [/((?:authorization|cookie|api-key|idempotency-key)\s*:\s*)[^\r\n"]+/gi, `$1${redacted}`],
];

/** A line that one of the forms above may be in: most are not, and need not be taken apart. */
const suspect = new RegExp(`ub[kr]_|eyJ|://|bearer|basic|argon2|BEGIN |${secretWords}`, "i");

/** Whether a line of the log may hold a secret. Cheap; where it says no, there is none that {@link redact} would find. */
export function maySecretsBeIn(line: string): boolean {
  return suspect.test(line);
}

/** The same text without the secrets that can be told by their form. */
export function redactText(text: string): string {
  if (!suspect.test(text)) return text;
  return secretForms.reduce((rest, [form, instead]) => rest.replace(form, instead), text);
}

/**
 * The same value without secrets: whatever has a secret's name, at any depth, is left out, and texts are as
 * {@link redactText} makes them. For what JSON can say.
 */
export function redact(value: unknown): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item, at) => redactItem(item, value[at - 1]));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      redactText(name),
      isNameOfSecret(name) ? hide(item) : redact(item),
    ]),
  );
}

/** Header fields come as lists, too, of names and values in turn. */
function redactItem(item: unknown, previous: unknown): unknown {
  return typeof previous === "string" && isNameOfSecret(previous) ? hide(item) : redact(item);
}

/** Names are short: nothing long is looked through, and no sentence is taken for one. */
function isNameOfSecret(name: string): boolean {
  return name.length <= 64 && !name.includes(" ") && secretName.test(name);
}

/** What says nothing may be seen: that something is not there. */
function hide(value: unknown): unknown {
  return value === null || value === "" || typeof value === "boolean" ? value : redacted;
}
