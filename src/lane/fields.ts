import type { IncomingHttpHeaders } from "node:http";
import type { Fields } from "./exchange.ts";

/** The request's header fields as the web has them, without HTTP/2's pseudo-header fields. */
export function toHeaders(fields: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  return headers;
}

/** Fields as Node sends them. */
export function toFields(headers: Headers): Fields {
  const fields: Fields = {};
  for (const [name, value] of headers) {
    const present = fields[name];
    // Only set-cookie comes more than once; the others arrive joined.
    fields[name] =
      present === undefined ? value : [...(Array.isArray(present) ? present : [String(present)]), value];
  }
  return fields;
}
