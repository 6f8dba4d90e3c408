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

/** Fields as Node sends them. `prefix` goes before each name. */
export function toFields(headers: Headers, prefix = ""): Fields {
  const fields: Fields = {};
  for (const [name, value] of headers) {
    const key = prefix + name;
    const present = fields[key];
    // Only set-cookie comes more than once; the others arrive joined.
    fields[key] =
      present === undefined ? value : [...(Array.isArray(present) ? present : [String(present)]), value];
  }
  return fields;
}
