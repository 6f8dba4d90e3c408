import { LRUCache } from "lru-cache";

/** What the addresses of one site have in common at least: nobody is given a smaller network (RFC 6177). */
const siteGroups = 4;

/** What the addresses of one provider have in common, in groups of IPv6 and in numbers of IPv4. */
const [providerGroups, providerNumbers] = [2, 2];

/** To cut an address costs a twentieth of what a short call takes. */
const networks = new LRUCache<string, string>({ max: 1_000 });

/**
 * Whom an address stands for: of IPv6, everybody has at least 2^64, so the first 64 bits count.
 *
 * @param address in its usual form, as a call's scope has it
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  let network = networks.get(address);
  if (network === undefined) {
    network = prefixOf(address, siteGroups);
    networks.set(address, network);
  }
  return network;
}

/** The wider network that a network is part of: all of what one attacker is likely to have. */
export function providerOf(network: string): string {
  if (network.includes(":")) return prefixOf(network, providerGroups);
  return network.split(".", providerNumbers).join(".");
}

/** The first groups of 16 bits each, written out. */
function prefixOf(address: string, groups: number): string {
  const [head = "", tail] = address.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - first.length - last.length;
  return `${[...first, ...Array.from({ length: zeros }, () => "0"), ...last].slice(0, groups).join(":")}::`;
}
