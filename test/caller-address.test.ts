import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { type Struct, StructSchema } from "@bufbuild/protobuf/wkt";
import { createContextKey, type HandlerContext, type Transport } from "@connectrpc/connect";
import fc from "fast-check";
import { callScope } from "../src/platform/call-scope.ts";
import { createCallerContext } from "../src/server/caller-address.ts";
import { toStruct } from "./support/probe-script.ts";
import { callPath, probeCall, probeRoutes, probeStream } from "./support/probe-service.ts";
import { protocols } from "./support/protocols.ts";
import { openRawClient } from "./support/raw-call.ts";
import { openHostPair, openLane } from "./support/server-pair.ts";

/** Answers with the address that it sees. */
const mirror = {
  call: (_request: unknown, { values }: HandlerContext) =>
    toStruct({ address: values.get(callScope).address }),
  async *stream(_request: unknown, { values }: HandlerContext) {
    yield toStruct({ address: values.get(callScope).address });
  },
};

function addressIn(message: unknown): unknown {
  return (toJson(StructSchema, message as Struct) as { address: unknown }).address;
}

async function callUnary(transport: Transport, forwarded: string): Promise<unknown> {
  const header = { "x-forwarded-for": forwarded };
  return addressIn((await transport.unary(probeCall, undefined, undefined, header, {})).message);
}

async function callStream(transport: Transport, forwarded: string): Promise<unknown> {
  const header = { "x-forwarded-for": forwarded };
  async function* input() {
    yield {};
  }
  const response = await transport.stream(probeStream, undefined, undefined, header, input());
  for await (const message of response.message) return addressIn(message);
  return assert.fail("the stream was empty");
}

describe("a handler sees its caller's address", () => {
  for (const protocol of protocols) {
    test(`over ${protocol.name}, with and without the lane, and not what a stranger forges`, async (t) => {
      const direct = await openHostPair(t, probeRoutes(mirror));
      const proxied = await openHostPair(t, probeRoutes(mirror), { trustedProxies: ["127.0.0.0/8"] });
      for (const path of ["lane", "reference"] as const) {
        for (const call of [callUnary, callStream]) {
          const strange = protocol.createTransport(direct[path]);
          assert.equal(await call(strange, "203.0.113.9"), "127.0.0.1", path);
          const trusted = protocol.createTransport(proxied[path]);
          assert.equal(await call(trusted, "203.0.113.9, 2001:db8::1"), "2001:db8::1", path);
        }
      }
    });
  }

  test("also where the header comes in several parts, over each version of HTTP", async (t) => {
    const pair = await openHostPair(t, probeRoutes(mirror), { trustedProxies: ["127.0.0.1", "10.0.0.0/8"] });
    for (const url of [pair.lane, pair.reference]) {
      const client = openRawClient(url);
      t.after(client.close);
      for (const httpVersion of [1, 2] as const) {
        const { body } = await client.send({
          httpVersion,
          method: "POST",
          path: callPath,
          headers: [
            ["content-type", "application/json"],
            ["X-Forwarded-For", "6.6.6.6"],
            ["X-Forwarded-For", "203.0.113.9"],
            ["X-Forwarded-For", "10.1.2.3"],
          ],
          body: Buffer.from("{}"),
        });
        assert.equal(body.toString(), '{"address":"203.0.113.9"}');
      }
    }
  });
});

describe("the lane", () => {
  test("makes context values where somebody reads them, and no sooner", async (t) => {
    let made = 0;
    const key = createContextKey("unset");
    const transport = protocols.at(-1);
    const url = await openLane(t, {
      contextValues: (request) => {
        made += 1;
        assert.equal(request.remoteAddress, "127.0.0.1");
        return createCallerContext([])(request).set(key, "made");
      },
      routes: probeRoutes({
        call: (_request, { values }) => toStruct({ address: values.get(key) + values.get(key) }),
        async *stream() {
          yield toStruct({ address: "unread" });
        },
      }),
    });
    const opened = transport?.createTransport(url) as Transport;
    assert.equal(await callStream(opened, ""), "unread");
    assert.equal(made, 0);
    assert.equal(await callUnary(opened, ""), "mademade");
    assert.equal(made, 1);
  });
});

describe("of the addresses that a request names, the caller's", () => {
  const find = (proxies: readonly string[], remoteAddress: string | undefined, forwarded?: string) =>
    createCallerContext(proxies)({
      requestHeaders: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
      rawHeaders: [],
      remoteAddress,
      clientCertificate: undefined,
    }).get(callScope).address;
  const proxies = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"];

  for (const [what, expected, remoteAddress, forwarded] of [
    ["is the connection's other end", "203.0.113.9", "203.0.113.9", undefined],
    ["is the other end where that is no proxy, whatever it says", "203.0.113.9", "203.0.113.9", "1.1.1.1"],
    ["is the last that a proxy names", "1.1.1.1", "10.0.0.1", "6.6.6.6, 1.1.1.1"],
    ["is the last before those of proxies", "1.1.1.1", "10.0.0.1", "6.6.6.6,1.1.1.1,fd00::1,192.0.2.7"],
    ["is the first where all are proxies", "10.0.0.3", "10.0.0.1", "10.0.0.3, 10.0.0.2"],
    ["is the proxy where that names none", "10.0.0.1", "10.0.0.1", undefined],
    ["is the proxy where that names nothing readable", "10.0.0.1", "10.0.0.1", "6.6.6.6, unknown"],
    ["is the proxy where that ends in nothing", "10.0.0.1", "10.0.0.1", "6.6.6.6, "],
    ["is told without its port", "1.1.1.1", "10.0.0.1", "1.1.1.1:4711"],
    ["is told without its port in IPv6", "2001:db8::1", "10.0.0.1", "[2001:db8::1]:4711"],
    ["is told in its usual form", "2001:db8::1", "10.0.0.1", "2001:0DB8:0:0::0001"],
    ["is IPv4 where that comes as IPv6", "1.1.1.1", "::ffff:10.0.0.1", "::ffff:1.1.1.1"],
    ["has no zone", "fe80::1", "fe80::1%eth0", "6.6.6.6"],
    ["is none where the connection is closed", "", undefined, "6.6.6.6"],
  ] as const) {
    test(what, () => assert.equal(find(proxies, remoteAddress, forwarded), expected));
  }

  test("never depends on what stands before the first untrusted one", () => {
    const anything = fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.constant("10.0.0.5")));
    fc.assert(
      fc.property(anything, (forged) => {
        assert.equal(
          find(proxies, "10.0.0.1", [...forged, "203.0.113.9", "10.0.0.2"].join(",")),
          "203.0.113.9",
        );
        assert.equal(find([], "10.0.0.1", forged.join(",")), "10.0.0.1");
      }),
    );
  });

  test("cannot be found with a proxy that is no address", () => {
    for (const proxy of ["proxy.example.com", "10.0.0.0/33", "0.0.0.0/0", ""]) {
      assert.throws(() => createCallerContext([proxy]), TypeError, proxy);
    }
  });
});
