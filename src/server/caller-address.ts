import { isIP, SocketAddress } from "node:net";
import type { ContextValues } from "@connectrpc/connect";
import proxyAddr from "@fastify/proxy-addr";
import { LRUCache } from "lru-cache";
import { CallScope, type RequestOrigin } from "../platform/call-scope.ts";
import { CallValues } from "../platform/call-values.ts";
import { anonymous, type Principal } from "../platform/principal.ts";

/**
 * Creates the function that makes the context values of a call.
 *
 * @param trustedProxies addresses and ranges (`10.0.0.0/8`) of the proxies that put the address they were called
 * from behind those in `x-forwarded-for`
 * @param principal who calls, until somebody has asked
 * @throws TypeError where one of the proxies is neither
 */
export function createCallerContext(
  trustedProxies: readonly string[],
  principal: Principal = anonymous,
): (origin: RequestOrigin) => ContextValues {
  const isTrusted = compileProxies(trustedProxies);
  const findAddress = (origin: RequestOrigin) => findCallerAddress(origin, isTrusted);
  return (origin) => {
    const scope = new CallScope(origin, findAddress);
    scope.principal = principal;
    return new CallValues(scope);
  };
}

/** @throws TypeError where one of them is neither an address nor a range */
function compileProxies(proxies: readonly string[]): (address: string) => boolean {
  const isTrusted = proxyAddr.compile([...proxies]);
  return (address) => isTrusted(address, 0);
}

/**
 * Walks from the connection's other end back to the first address that is no trusted proxy's. Whoever is not
 * trusted can write what it likes into the header, and trusted proxies only add to its end: so whatever stands
 * before an untrusted address is never looked at.
 */
function findCallerAddress(
  { requestHeaders, remoteAddress }: RequestOrigin,
  isTrusted: (address: string) => boolean,
): string {
  let address = toPlainAddress(remoteAddress) ?? "";
  const forwarded = requestHeaders["x-forwarded-for"];
  const hops = forwarded === undefined ? [] : String(forwarded).split(",");
  while (isTrusted(address)) {
    // Where a proxy says nothing that can be read ("unknown"), the proxy is all that is known.
    const previous = toPlainAddress(hops.pop()?.trim());
    if (previous === undefined) break;
    address = previous;
  }
  return address;
}

/** Addresses in their usual form, by their texts: to read one costs a quarter of what a short call takes. */
const plainAddresses = new LRUCache<string, string>({ max: 1_000 });

/** An IPv6 address in brackets with a long zone and a port is shorter. */
const maxAddressLength = 80;

/** An address in its usual form; undefined where the text is none. */
function toPlainAddress(text: string | undefined): string | undefined {
  if (text === undefined || text === "" || text.length > maxAddressLength) return undefined;
  const known = plainAddresses.get(text);
  if (known !== undefined) return known;
  const address = readAddress(text);
  if (address !== undefined) plainAddresses.set(text, address);
  return address;
}

/** Some proxies add a port to an address. */
function readAddress(text: string): string | undefined {
  // With a zone ("fe80::1%eth0") an address means something on this machine only.
  const bare = text.replace(/%[^\]]*/, "");
  const address = SocketAddress.parse(isIP(bare) === 6 ? `[${bare}]` : bare)?.address;
  return address?.replace(/^::ffff:(?=\d+\.)/, "");
}
