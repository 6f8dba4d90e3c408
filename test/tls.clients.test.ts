import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import type { TlsConfig } from "../src/platform/config.ts";
import {
  type Authority,
  createAuthority,
  createTlsFiles,
  type KeyPair,
  pinOf,
  selfSign,
} from "./support/certificates.ts";
import { openTlsHost, visit } from "./support/tls-host.ts";

type ClientName =
  | "nobody"
  | "known"
  | "knownByIntermediate"
  | "knownUnpinned"
  | "expired"
  | "notYetValid"
  | "forServers"
  | "stranger"
  | "selfSigned"
  | "selfSignedExpired"
  | "selfSignedNotYetValid"
  | "selfSignedUnpinned";

describe("client certificates", () => {
  let authority: Authority;
  let server: KeyPair;
  let clients: Readonly<Record<ClientName, Partial<KeyPair>>>;
  /** The keys of those that their names do not call unpinned. */
  let pins: readonly Buffer[];

  before(async () => {
    authority = await createAuthority("authority");
    const other = await createAuthority("another authority");
    const intermediate = await authority.issueAuthority("intermediate");
    const issued = await intermediate.issue({ commonName: "known by intermediate", purpose: "client" });
    server = await authority.issue({ commonName: "server", purpose: "server" });
    const known = await authority.issue({ commonName: "known", purpose: "client" });
    const pinned = {
      known,
      knownByIntermediate: { cert: `${issued.cert}\n${intermediate.cert}`, key: issued.key },
      expired: await authority.issue({ commonName: "expired", toDay: -0.5 }),
      notYetValid: await authority.issue({ commonName: "not yet valid", fromDay: 1 }),
      forServers: await authority.issue({ commonName: "for servers", purpose: "server" }),
      stranger: await other.issue({ commonName: "stranger" }),
      selfSigned: await selfSign({ commonName: "self-signed" }),
      selfSignedExpired: await selfSign({ commonName: "self-signed", toDay: -0.5 }),
      selfSignedNotYetValid: await selfSign({ commonName: "self-signed", fromDay: 1 }),
    };
    pins = Object.values(pinned).map(pinOf);
    clients = {
      ...pinned,
      nobody: {},
      knownUnpinned: await authority.issue({ commonName: "known, unpinned" }),
      selfSignedUnpinned: await selfSign({ commonName: "self-signed" }),
    };
  });

  const rules: {
    title: string;
    clientAuth: TlsConfig["clientAuth"];
    judgedBy: readonly ("authority" | "pins")[];
    welcome: readonly ClientName[];
  }[] = [
    {
      title: "required and signed by an authority",
      clientAuth: "required",
      judgedBy: ["authority"],
      welcome: ["known", "knownByIntermediate", "knownUnpinned"],
    },
    {
      title: "optional and signed by an authority",
      clientAuth: "optional",
      judgedBy: ["authority"],
      welcome: ["nobody", "known", "knownByIntermediate", "knownUnpinned"],
    },
    {
      title: "required, signed and pinned",
      clientAuth: "required",
      judgedBy: ["authority", "pins"],
      welcome: ["known", "knownByIntermediate"],
    },
    {
      title: "optional, signed and pinned",
      clientAuth: "optional",
      judgedBy: ["authority", "pins"],
      welcome: ["nobody", "known", "knownByIntermediate"],
    },
    {
      title: "required and pinned, whoever signed them",
      clientAuth: "required",
      judgedBy: ["pins"],
      welcome: ["known", "knownByIntermediate", "forServers", "stranger", "selfSigned"],
    },
    {
      title: "optional and pinned, whoever signed them",
      clientAuth: "optional",
      judgedBy: ["pins"],
      welcome: ["nobody", "known", "knownByIntermediate", "forServers", "stranger", "selfSigned"],
    },
  ];

  for (const { title, clientAuth, judgedBy, welcome } of rules) {
    test(`${title}: nobody else is served a byte`, async (t) => {
      const files = await createTlsFiles(t, server, authority);
      const { url } = await openTlsHost(t, files, {
        clientAuth,
        ...(judgedBy.includes("authority") && { clientCaPath: files.clientCaPath }),
        clientSpkiPins: judgedBy.includes("pins") ? pins : [],
      });
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const served: string[] = [];
        for (const [name, pair] of Object.entries(clients)) {
          const { answer } = await visit(url, {
            ca: authority.cert,
            minVersion: version,
            maxVersion: version,
            ...pair,
          });
          if (answer !== "") served.push(name);
        }
        assert.deepEqual(served.sort(), [...welcome].sort(), version);
      }
    });
  }

  test("off: none is asked for, and whoever has one is served", async (t) => {
    const files = await createTlsFiles(t, server, authority);
    const { url } = await openTlsHost(t, files, { clientAuth: "off", clientCaPath: files.clientCaPath });
    for (const pair of Object.values(clients)) {
      assert.match((await visit(url, { ca: authority.cert, ...pair })).answer, /200 OK/);
    }
  });

  test("who shows none where one is required hears it from an alert, and the log says why others were refused", async (t) => {
    const files = await createTlsFiles(t, server, authority);
    const { url, log } = await openTlsHost(t, files, {
      clientAuth: "required",
      clientCaPath: files.clientCaPath,
      clientSpkiPins: pins,
    });
    const ca = authority.cert;
    assert.equal((await visit(url, { ca })).code, "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
    await visit(url, { ca, ...clients.expired });
    await log.until("expired", (line) => line["fault"] === "CERT_HAS_EXPIRED");
    await visit(url, { ca, ...clients.forServers });
    await log.until("not for clients", (line) => line["fault"] === "INVALID_PURPOSE");
    await visit(url, { ca, ...clients.knownUnpinned });
    const unpinned = await log.until("unpinned", (line) => line["fault"] === "not pinned");
    assert.equal(unpinned["address"], "127.0.0.1");
  });
});
