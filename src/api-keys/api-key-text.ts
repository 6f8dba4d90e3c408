import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** So that whoever finds a key in a log or a repository can tell what it is. */
const prefix = "ubk_";
const secretBytes = 32;
/** 62^43 is just above 2^256. */
const secretDigits = 43;
/** 62^6 is above 2^32. */
const checksumDigits = 6;
const keyLength = prefix.length + secretDigits + checksumDigits;
const displayLength = 12;

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const keyPattern = /^ubk_[0-9A-Za-z]{49}$/;

/** An API key and what is kept of it. */
export interface MintedApiKey {
  /** The key itself. */
  readonly secret: string;
  /** SHA-256, as {@link hashApiKey} has it. */
  readonly hash: string;
  /** The first characters: what may be shown. */
  readonly display: string;
}

/** Makes a new key: `ubk_`, 256 random bits in base 62 and a checksum, each of a fixed width. */
export function mintApiKey(): MintedApiKey {
  const secret = formatApiKey(randomBytes(secretBytes));
  return { secret, hash: hashApiKey(secret), display: secret.slice(0, displayLength) };
}

/** The key with these 32 bytes. */
export function formatApiKey(bytes: Uint8Array): string {
  const value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  const body = prefix + toBase62(value, secretDigits);
  return body + checksumOf(body);
}

/** Whether a text has a key's length and beginning: what can be told for next to nothing. */
export function hasApiKeyForm(text: string): boolean {
  return text.length === keyLength && text.startsWith(prefix);
}

/**
 * Whether a text can be a key: its checksum is right. The checksum is a CRC-32, as in GitHub's tokens
 * (github.blog, "Behind GitHub's new authentication token formats"), so that every change within four characters in a
 * row, such as a typo or two characters that have changed places, is found and not just most of them.
 */
export function isApiKey(text: string): boolean {
  if (!keyPattern.test(text)) return false;
  const body = text.slice(0, -checksumDigits);
  return text.slice(-checksumDigits) === checksumOf(body);
}

/** What a key is stored as, in hexadecimal. A fast hash will do: nobody can try 2^256 keys. */
export function hashApiKey(text: string): string {
  return hash("sha256", text, "hex");
}

function checksumOf(body: string): string {
  return toBase62(BigInt(crc32(body)), checksumDigits);
}

function toBase62(value: bigint, width: number): string {
  let text = "";
  for (let rest = value; text.length < width; rest /= 62n) {
    text = `${digits[Number(rest % 62n)]}${text}`;
  }
  return text;
}
