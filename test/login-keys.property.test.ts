import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { makeLoginKeys, toNetwork } from "../src/auth/login-keys.ts";

const group = fc.integer({ min: 0, max: 0xffff });
const half = fc.tuple(group, group, group, group);

function toAddress(groups: readonly number[]): string {
  const text = groups.map((value) => value.toString(16)).join(":");
  // The usual form, which leaves zeros out.
  return SocketAddress.parse(`[${text}]`)?.address ?? "";
}

describe("the keys of a login", () => {
  test("take an address of IPv6 for its network of 64 bits, in whichever form it comes", () => {
    const sparse = fc.tuple(...Array.from({ length: 4 }, () => fc.constantFrom(0, 0, 1, 0xffff)));
    fc.assert(
      fc.property(fc.oneof(half, sparse), fc.oneof(half, sparse), (network, host) => {
        const expected = `${network.map((value) => value.toString(16)).join(":")}::/64`;
        assert.equal(toNetwork(toAddress([...network, ...host])), expected);
        assert.equal(toNetwork([...network, ...host].map((value) => value.toString(16)).join(":")), expected);
      }),
    );
    assert.equal(toNetwork("64:ff9b::192.0.2.1"), "64:ff9b:0:0::/64");
    assert.equal(toNetwork("::"), "0:0:0:0::/64");
  });

  test("leave an address of IPv4, and whatever is none, as it is", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.constant("")), (text) => assert.equal(toNetwork(text), text)),
    );
  });

  test("are the same whatever an email's case, and hold nothing of it or the address", () => {
    fc.assert(
      fc.property(fc.emailAddress(), fc.ipV4(), fc.uint8Array(), (email, address, secret) => {
        const keys = makeLoginKeys(email, address, secret);
        assert.deepEqual(makeLoginKeys(email.toUpperCase(), address, secret), keys);
        for (const key of Object.values(keys)) assert.match(key, /^[\w-]{22}$/);
        assert.equal(new Set(Object.values(keys)).size, 3);
      }),
    );
  });

  test("differ where email, address or secret do, and never run together", () => {
    const secret = Buffer.from("secret");
    const keys = [
      makeLoginKeys("a", "b", secret),
      makeLoginKeys("ab", "", secret),
      makeLoginKeys('a","b', "", secret),
      makeLoginKeys("a", "b", Buffer.from("other")),
    ].map((made) => made.accountAtAddress);
    assert.equal(new Set(keys).size, keys.length);
  });
});
