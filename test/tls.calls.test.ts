import assert from "node:assert/strict";
import type { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import https from "node:https";
import { text } from "node:stream/consumers";
import { before, describe, type TestContext, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { callScope } from "../src/platform/call-scope.ts";
import { type Authority, createAuthority, createTlsFiles, type KeyPair } from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { callPath, probeCall, probeRoutes, probeStream } from "./support/probe-service.ts";
import { openTlsHost } from "./support/tls-host.ts";

const spiffe = "spiffe://prod/ns/shop/sa/edge";

describe("the certificate of a client", () => {
  let authority: Authority;
  let server: KeyPair;
  let edge: KeyPair;

  before(async () => {
    authority = await createAuthority("authority");
    server = await authority.issue({ commonName: "server", purpose: "server" });
    edge = await authority.issue({ commonName: "edge", purpose: "client", uris: [spiffe] });
  });

  /** A host that remembers the certificate behind each call. */
  async function openRememberingHost(t: TestContext, lane: "on" | "off") {
    const seen: (X509Certificate | undefined)[] = [];
    const see = (context: HandlerContext): number =>
      seen.push(context.values.get(callScope).origin.clientCertificate);
    const files = await createTlsFiles(t, server, authority);
    const judged = { clientAuth: "optional", clientCaPath: files.clientCaPath } as const;
    const routes = probeRoutes({
      call(_request, context) {
        see(context);
        return create(probeCall.output);
      },
      async *stream(_request, context) {
        see(context);
        yield create(probeStream.output);
      },
    });
    const { url } = await openTlsHost(t, files, judged, { lane, routes });
    return { url, seen };
  }

  for (const lane of ["on", "off"] as const) {
    test(`lane ${lane}: reaches each call over every protocol, and no call of a client without one`, async (t) => {
      const { url, seen } = await openRememberingHost(t, lane);
      for (const pair of [edge, undefined]) {
        const nodeOptions = { ca: authority.cert, ...pair };
        const options = { baseUrl: url, nodeOptions };
        for (const transport of [
          createConnectTransport({ ...options, httpVersion: "1.1" }),
          createConnectTransport({ ...options, httpVersion: "2" }),
          createGrpcWebTransport({ ...options, httpVersion: "1.1" }),
          createGrpcWebTransport({ ...options, httpVersion: "2" }),
          createGrpcTransport(options),
        ]) {
          await transport.unary(probeCall, undefined, undefined, undefined, create(probeCall.input));
          const input = single(create(probeStream.input));
          const { message } = await transport.stream(probeStream, undefined, undefined, undefined, input);
          for await (const _ of message);
        }
        assert.deepEqual(
          seen.splice(0).map((certificate) => certificate?.subjectAltName),
          Array(10).fill(pair && `URI:${spiffe}`),
        );
      }
    });

    test(`lane ${lane}: is read once a connection`, async (t) => {
      const { url, seen } = await openRememberingHost(t, lane);
      const options = { ca: authority.cert, ...edge };
      const session = http2.connect(url, options);
      cleanUpAfter(t, () => session.destroy());
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...options });
      cleanUpAfter(t, () => agent.destroy());
      for (let call = 1; call <= 3; call++) {
        await callOverHttp2(session);
        await callOverHttp1(url, agent);
      }
      assert.equal(seen.length, 6);
      assert.equal(new Set(seen).size, 2);
    });
  }
});

const headers = { "content-type": "application/json" };

async function callOverHttp2(session: http2.ClientHttp2Session): Promise<void> {
  const stream = session.request({ ":method": "POST", ":path": callPath, ...headers });
  stream.end("{}");
  assert.equal(await text(stream), "{}");
}

async function callOverHttp1(url: string, agent: https.Agent): Promise<void> {
  const body = await new Promise<string>((resolve, reject) => {
    const request = https.request(new URL(callPath, url), { method: "POST", agent, headers }, (response) =>
      resolve(text(response)),
    );
    request.once("error", reject);
    request.end("{}");
  });
  assert.equal(body, "{}");
}

async function* single<T>(value: T): AsyncIterable<T> {
  yield value;
}
