import { z } from "zod";
import type { ClientPrincipal } from "./client-principal.ts";
import { findPermissionViolation } from "./role.ts";

/** By what a certificate is recognised, in the order in which it is tried. */
export const matcherKinds = ["uri", "dns", "subject"] as const;

/** By what a certificate is recognised. */
export type MatcherKind = (typeof matcherKinds)[number];

/** The principals of a file, by what their certificates are recognised by. */
export type PrincipalTable = Readonly<Record<MatcherKind, ReadonlyMap<string, ClientPrincipal>>>;

/** A file that does not say what it should. Lists every fault. */
export class PrincipalsFileError extends Error {
  override readonly name = "PrincipalsFileError";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join("; "));
    this.faults = faults;
  }
}

const principalName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    "must be 1 to 100 letters, digits, dots, underscores or hyphens",
  );

const permission = z.string().superRefine((text, context) => {
  const violation = findPermissionViolation(text, "");
  if (violation !== undefined) context.addIssue(violation.description);
});

/** The SPIFFE ID standard, section 2. */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;

const uri = z
  .string()
  .max(2_048)
  .refine((text) => (/^spiffe:/i.test(text) ? spiffeId.test(text) : isUri(text)), {
    error: "must be a URI such as spiffe://prod/ns/shop/sa/edge, as it stands in the certificate",
  });

const isUri = (text: string): boolean => /^[\x21-\x7e]+$/.test(text) && URL.canParse(text);

const dnsName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*$/i,
    "must be a DNS name such as edge.internal, without wildcards",
  )
  .transform((text) => text.toLowerCase());

/** A part of a name; within its value, what has a meaning there stands behind a backslash. */
const attribute = String.raw`(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)=(?:[^,+"\\<>;\n ]|(?<!=) (?![,+]|$)|\\.)*`;

const subject = z
  .string()
  .max(2_000)
  .regex(
    new RegExp(`^${attribute}(?:[,+]${attribute})*$`, "u"),
    'must be as `openssl x509 -noout -subject -nameopt RFC2253,-esc_msb` prints it, such as "CN=edge,O=Shop"',
  );

const principal = z
  .strictObject({
    name: principalName,
    uri: uri.optional(),
    dns: dnsName.optional(),
    subject: subject.optional(),
    permissions: z.array(permission),
  })
  .refine((entry) => matcherKinds.filter((kind) => entry[kind] !== undefined).length === 1, {
    error: `must have one of ${matcherKinds.join(", ")}`,
  });

const file = z.strictObject({ principals: z.array(principal) });

/** @throws PrincipalsFileError that names each fault */
export function readPrincipalsFile(text: string): PrincipalTable {
  const parsed = file.safeParse(parseJson(text));
  if (!parsed.success) throw new PrincipalsFileError(parsed.error.issues.map(describeIssue));
  const table = { uri: new Map(), dns: new Map(), subject: new Map() } satisfies PrincipalTable;
  const names = new Set<string>();
  const faults: string[] = [];
  for (const [index, entry] of parsed.data.principals.entries()) {
    if (names.has(entry.name)) faults.push(`principals[${index}].name: is there twice`);
    names.add(entry.name);
    for (const kind of matcherKinds) {
      const matcher = entry[kind];
      if (matcher === undefined) continue;
      if (table[kind].has(matcher)) faults.push(`principals[${index}].${kind}: is there twice`);
      table[kind].set(matcher, { name: entry.name, permissions: new Set(entry.permissions) });
    }
  }
  if (faults.length > 0) throw new PrincipalsFileError(faults);
  return table;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PrincipalsFileError([`is no JSON: ${(error as Error).message}`]);
  }
}

function describeIssue({ path, message }: z.core.$ZodIssue): string {
  const where = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return `${where.replace(/^\./, "") || "the file"}: ${message}`;
}
