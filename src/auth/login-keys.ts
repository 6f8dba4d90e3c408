import { createHmac } from "node:crypto";
import { isIPv6 } from "node:net";
import { normalizeEmail } from "../users/user.ts";

/** Under what an attempt is counted. Nothing can be read from a key. */
export interface LoginKeys {
  readonly account: string;
  readonly address: string;
  readonly accountAtAddress: string;
}

/** Bytes of a hash that are kept: no two keys of a table are ever the same by chance. */
const keyBytes = 16;

/**
 * Makes the keys of an attempt.
 *
 * @param secret what others would need to find out by trial which email or address a key is of; may be empty
 */
export function makeLoginKeys(email: string, address: string, secret: Uint8Array): LoginKeys {
  const account = normalizeEmail(email);
  const network = toNetwork(address);
  const makeKey = (...parts: readonly string[]): string =>
    createHmac("sha256", secret)
      // JSON keeps the parts apart, whatever is in them.
      .update(JSON.stringify(parts))
      .digest()
      .subarray(0, keyBytes)
      .toString("base64url");
  return {
    account: makeKey("account", account),
    address: makeKey("address", network),
    accountAtAddress: makeKey("account at address", account, network),
  };
}

/**
 * What one caller can call from: an address of IPv4, the /64 network of one of IPv6. RFC 6177 and RFC 7421 give
 * nobody less than that, and whoever has one can use any of its 2^64 addresses.
 */
export function toNetwork(address: string): string {
  if (!isIPv6(address)) {
    return address;
  }
  const [before = "", after = ""] = address.toLowerCase().split("::", 2);
  const leading = toGroups(before);
  const trailing = toGroups(after);
  const zeros = Array.from({ length: 8 - leading.length - trailing.length }, () => 0);
  const groups = [...leading, ...zeros, ...trailing].slice(0, 4);
  return `${groups.map((group) => group.toString(16)).join(":")}::/64`;
}

function toGroups(text: string): number[] {
  return text === ""
    ? []
    : text.split(":").flatMap((group) => (group.includes(".") ? [0, 0] : [Number.parseInt(group, 16)]));
}
