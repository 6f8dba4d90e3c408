import { isIP } from "node:net";
import { z } from "zod";
import { parseByteSize, parseDuration } from "./units.ts";

/** A host and a port to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A time, in milliseconds. */
export const duration = (minimumMs: number, maximumMs: number, range: string) =>
  z.string().transform((text, context) => {
    const value = parseDuration(text);
    if (value === undefined || value < minimumMs || value > maximumMs) {
      context.addIssue(`must be a duration ${range} such as 500ms, 10s, 5m, 12h or 30d, not "${text}"`);
      return z.NEVER;
    }
    return value;
  });

/** A whole number. */
export const integer = (minimum: number, maximum: number) =>
  z.string().transform((text, context) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      context.addIssue(`must be a whole number from ${minimum} to ${maximum}, not "${text}"`);
      return z.NEVER;
    }
    return value;
  });

/** How often something may happen in the long run, and how often at once: a token bucket. */
export interface Rate {
  readonly perSecond: number;
  readonly atOnce: number;
}

/** `100/s`, `100/s+500` with how much may come at once (otherwise as much as in two seconds), or `off` for none. */
export const optionalRate = z.union([
  z.literal("off").transform(() => undefined),
  z.string().transform((text, context): Rate => {
    const match = /^(\d{1,9})\/(s|m|h)(?:\+(\d{1,9}))?$/.exec(text);
    const perSecond = Number(match?.[1]) / { s: 1, m: 60, h: 3_600 }[match?.[2] as "s" | "m" | "h"];
    const atOnce = match?.[3] === undefined ? Math.ceil(perSecond * 2) : Number(match[3]);
    if (match === null || perSecond === 0 || atOnce === 0) {
      context.addIssue(
        `must be a rate such as 100/s, 100/s+500 (500 at once) or 30/m, or off, not "${text}"`,
      );
      return z.NEVER;
    }
    return { perSecond, atOnce };
  }),
]);

/** A share of all. */
export const ratio = z.string().transform((text, context) => {
  const value = Number(text);
  if (!/^(?:0|1|0?\.\d+|1\.0+)$/.test(text)) {
    context.addIssue(`must be a number from 0 to 1, not "${text}"`);
    return z.NEVER;
  }
  return value;
});

/** The base of what is reached over HTTP. It may hold a password: it is never repeated. */
export const httpUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    context.addIssue("must be a URL such as http://127.0.0.1:4318");
    return z.NEVER;
  }
  return text.replace(/\/+$/, "");
});

/** `name=value` pairs, separated by commas, percent-encoded where need be (as OpenTelemetry has them). */
export const pairList = createPairList(false);

/** The same for fields of a header, whose values are never repeated in a fault. */
export const headerList = createPairList(true);

function createPairList(isSecret: boolean) {
  return z.string().transform((text, context): Readonly<Record<string, string>> => {
    const pairs = splitList(text).map((word) => /^([^=]+)=(.*)$/.exec(word));
    const isGood = pairs.every((pair) => pair !== null && isDecodable(pair[2] ?? ""));
    if (!isGood) {
      context.addIssue(
        `must be name=value pairs, separated by commas, percent-encoded where need be${isSecret ? "" : `, not "${text}"`}`,
      );
      return z.NEVER;
    }
    return Object.fromEntries(
      pairs.map((pair) => [pair?.[1]?.trim() ?? "", decodeURIComponent(pair?.[2]?.trim() ?? "")]),
    );
  });
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** One of some words. */
export const choice = <const T extends string>(...values: [T, ...T[]]) =>
  z.enum(values, { error: (issue) => `must be one of ${values.join(", ")}, not "${String(issue.input)}"` });

/** host:port. */
export const listenAddress = z.string().transform((text, context): ListenAddress => {
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const host = match?.[1]?.replace(/^\[|\]$/g, "") ?? "";
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue(`must be host:port such as 127.0.0.1:8080 or [::1]:8080, not "${text}"`);
    return z.NEVER;
  }
  return { host, port };
});

/** host:port, or `off` for none. */
export const optionalListenAddress = z.union([z.literal("off").transform(() => undefined), listenAddress]);

/** A size, in bytes. */
export const byteSize = z.string().transform((text, context) => {
  const value = parseByteSize(text);
  if (value === undefined || value < 1024 || value > 1024 ** 3) {
    context.addIssue(`must be a size from 1KiB to 1GiB such as 4MiB, not "${text}"`);
    return z.NEVER;
  }
  return value;
});

/** Where a PostgreSQL is. */
export const postgresUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["postgres:", "postgresql:"].includes(url.protocol)) {
    // The value may hold a password: it is never repeated.
    context.addIssue("must be a URL such as postgres://user:password@host:5432/database");
    return z.NEVER;
  }
  return text;
});

/** Origins of pages, or the one that stands for all. */
export const corsOrigins = z.string().transform((text, context) => {
  const origins = splitList(text);
  for (const origin of origins) {
    const valid = origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin);
    if (!valid) {
      context.addIssue(`must be "*" or origins such as https://app.example.com, not "${origin}"`);
    }
  }
  return origins;
});

/** The path of a file or a folder. */
export const path = z.string().min(1);

/** Words of a list, each once, separated by commas. */
export const listOf = <const T extends string>(...values: [T, ...T[]]) =>
  z.string().transform((text, context): ReadonlySet<T> => {
    const words = splitList(text);
    const unknown = words.find((word) => !(values as readonly string[]).includes(word));
    if (unknown !== undefined || words.length === 0) {
      context.addIssue(`must be some of ${values.join(", ")}, separated by commas, not "${unknown ?? text}"`);
      return z.NEVER;
    }
    return new Set(words as T[]);
  });

/** Where to call another process. */
export const serviceUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.href !== `${url.origin}/`) {
    context.addIssue("must be a URL such as http://auth.internal:50051, with nothing but host and port");
    return z.NEVER;
  }
  return url.origin;
});

const keyBytes = 32;

/** Secret keys of 256 bits. A value is never repeated in a fault. */
export const secretKeys = z.string().transform((text, context) => {
  const keys = splitList(text).map((word) => Buffer.from(word, "base64"));
  if (keys.length === 0 || keys.some((key) => key.length !== keyBytes)) {
    context.addIssue(
      `must be ${keyBytes} random bytes in base64, such as \`openssl rand -base64 ${keyBytes}\` prints; after a comma, older ones`,
    );
    return z.NEVER;
  }
  return keys;
});

/** An API key of another process's. The value is never repeated in a fault. */
export const apiKey = z.string().transform((text, context) => {
  if (!/^ubk_[0-9A-Za-z]{49}$/.test(text)) {
    context.addIssue("must be an API key: ubk_ and 49 letters and digits");
    return z.NEVER;
  }
  return text;
});

const pinBytes = 32;

/** Pins of public keys, as `openssl pkey -pubout -outform der | openssl dgst -sha256 -binary | base64` prints them. */
export const spkiPins = z.string().transform((text, context) => {
  const words = splitList(text);
  const pins = words.map((word) => Buffer.from(word.replace(/^sha256\//, ""), "base64"));
  const bad = words.find((_word, index) => pins[index]?.length !== pinBytes);
  if (bad !== undefined || words.length === 0) {
    context.addIssue(
      `must be SHA-256 digests of public keys in base64, separated by commas, not "${bad ?? text}"`,
    );
    return z.NEVER;
  }
  return pins;
});

/** Addresses and networks of proxies; not the network of all addresses, which would believe everybody. */
export const addressList = z.string().transform((text, context) => {
  const addresses = splitList(text);
  for (const address of addresses) {
    if (!isAddressOrNetwork(address)) {
      context.addIssue(
        `must be addresses or networks such as 10.0.0.0/8, separated by commas, not "${address}"`,
      );
    }
  }
  return addresses;
});

function isAddressOrNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return (
    bits === undefined ||
    (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (version === 4 ? 32 : 128))
  );
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}
