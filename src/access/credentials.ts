import { hasApiKeyForm } from "../api-keys/api-key-text.ts";
import { UnauthenticatedError } from "../platform/access.errors.ts";
import type { CallScope, RequestOrigin } from "../platform/call-scope.ts";
import type { HeaderCredential } from "../platform/door.ts";

/** Header fields that hold an API key and nothing else. The second is that of the telemetry store's clients. */
const keyFields = ["x-api-key", "x-junjo-api-key"] as const;

/**
 * The credential in the header of a call; undefined where it has none. A field that is there and empty is none that is
 * good: whoever forwards somebody's credential and has none would otherwise call as itself.
 *
 * @throws UnauthenticatedError where there are different ones, or one that cannot be read
 */
export function readCredential({ origin }: CallScope): HeaderCredential | undefined {
  let found: HeaderCredential | undefined;
  for (const shown of listCredentials(origin)) {
    if (found === undefined) {
      found = shown;
    } else if (found.text !== shown.text || found.kind !== shown.kind) {
      throw new UnauthenticatedError("CREDENTIALS_AMBIGUOUS");
    }
  }
  if (found?.text === unreadable) throw new UnauthenticatedError("CREDENTIAL_INVALID");
  return found;
}

/** Stands for a credential that is not of any form that is known here. */
const unreadable = "";

function listCredentials({ requestHeaders, rawHeaders }: RequestOrigin): HeaderCredential[] {
  const list: HeaderCredential[] = [];
  if (requestHeaders.authorization !== undefined) {
    for (const value of findAll(rawHeaders, "authorization")) list.push(readAuthorization(value));
  }
  for (const name of keyFields) {
    const value = requestHeaders[name];
    if (value === undefined) continue;
    // Node joins fields that come more than once. No key has a comma.
    for (const text of String(value).split(",")) list.push({ kind: "api_key", text: text.trim() });
  }
  return list;
}

/** Node keeps the first `authorization` and drops the others: only the fields as they arrived have all of them. */
function findAll(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const field = rawHeaders[at] as string;
    if (field.length === name.length && field.toLowerCase() === name)
      values.push(rawHeaders[at + 1] as string);
  }
  return values;
}

const scheme = "bearer";

/** RFC 9110, section 11.4: the scheme without regard to case, one or more spaces, the token. */
function readAuthorization(value: string): HeaderCredential {
  const trimmed = value.trim();
  const isBearer =
    trimmed.charCodeAt(scheme.length) === 0x20 && trimmed.slice(0, scheme.length).toLowerCase() === scheme;
  const text = isBearer ? trimmed.slice(scheme.length).trimStart() : unreadable;
  return { kind: hasApiKeyForm(text) ? "api_key" : "access_token", text };
}
