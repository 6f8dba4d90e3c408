import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import { readCertificateNames } from "../src/access/certificate-names.ts";
import { openClientPrincipals } from "../src/access/client-principals.ts";
import { PrincipalsFileError, readPrincipalsFile } from "../src/access/client-principals-file.ts";
import { ConfigError } from "../src/platform/config.ts";
import { type CertificateTerms, selfSign } from "./support/certificates.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { createLogLines } from "./support/log-lines.ts";

/** One key for all: what is tested is what is said of it. */
const keyPair = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

async function createCertificate(terms: CertificateTerms): Promise<X509Certificate> {
  return new X509Certificate((await selfSign({ ...terms, keyPair })).cert);
}

type Entry = { name: string; uri?: string; dns?: string; subject?: string; permissions?: string[] };

function toFile(...entries: Entry[]): string {
  return JSON.stringify({ principals: entries.map((entry) => ({ permissions: [], ...entry })) });
}

async function openPrincipals(t: TestContext, text: string, now = () => new Date()) {
  const directory = await mkdtemp(join(tmpdir(), "user-bridge-principals-"));
  cleanUpAfter(t, () => rm(directory, { recursive: true }));
  const path = join(directory, "principals.json");
  await writeFile(path, text);
  const log = createLogLines();
  const principals = await openClientPrincipals({ path, logger: log.logger, now, watch: { intervalMs: 5 } });
  cleanUpAfter(t, principals.close);
  return { principals, log, write: (next: string) => writeFile(path, next), path };
}

const edgeId = "spiffe://prod/ns/shop/sa/edge";

describe("the principals file", () => {
  const good = { name: "edge", uri: edgeId, permissions: ["users:read"] };
  const faults: Record<string, [content: string, expected: RegExp[]]> = {
    "no JSON": ["{", [/^is no JSON/]],
    "no list": ["[]", [/^the file: .*object/]],
    "an unknown key": [JSON.stringify({ principals: [], more: 1 }), [/^the file: .*"more"/]],
    "an unknown key of a principal": [
      toFile({ ...good, scopes: [] } as Entry),
      [/^principals\[0\]: .*"scopes"/],
    ],
    "no permissions": [
      JSON.stringify({ principals: [{ name: "a", dns: "a" }] }),
      [/^principals\[0\]\.permissions: /],
    ],
    "nothing to be recognised by": [
      toFile({ name: "a" }),
      [/^principals\[0\]: must have one of uri, dns, subject/],
    ],
    "two things to be recognised by": [toFile({ ...good, dns: "a" }), [/^principals\[0\]: must have one of/]],
    "names that are none": [
      toFile({ name: "", dns: "a" }, { name: "a b", dns: "b" }),
      [/^principals\[0\]\.name: /, /^principals\[1\]\.name: /],
    ],
    "permissions that are none": [
      toFile({ ...good, permissions: ["users:read", "*", "users:*"] }),
      [/^principals\[0\]\.permissions\[1\]: /, /^principals\[0\]\.permissions\[2\]: /],
    ],
    "URIs that no certificate has": [
      toFile(
        ...[
          "spiffe://Prod/a",
          "spiffe://prod/a/",
          "spiffe://prod/../a",
          "spiffe://prod:1/a",
          "SPIFFE://prod/a",
          "a b:c",
          "edge",
        ].map((uri, index) => ({ name: `n${index}`, uri })),
      ),
      Array(7).fill(/^principals\[\d\]\.uri: must be a URI/),
    ],
    "DNS names that no certificate has": [
      toFile(
        { name: "a", dns: "*.internal" },
        { name: "b", dns: "edge internal" },
        { name: "c", dns: "a..b" },
      ),
      Array(3).fill(/^principals\[\d\]\.dns: must be a DNS name/),
    ],
    "subjects that are written otherwise": [
      toFile(
        ...["edge", "CN=edge, O=Shop", "/CN=edge/O=Shop", "CN=edge,", "CN=a\nO=b", "CN= a"].map(
          (subject, index) => ({
            name: `n${index}`,
            subject,
          }),
        ),
      ),
      Array(6).fill(/^principals\[\d\]\.subject: must be as/),
    ],
    "matchers and names that are there twice": [
      toFile(good, { name: "edge", dns: "a" }, { name: "other", uri: edgeId }, { name: "third", dns: "A" }),
      [
        /^principals\[1\]\.name: is there twice/,
        /^principals\[2\]\.uri: is there twice/,
        /^principals\[3\]\.dns: is there twice/,
      ],
    ],
  };
  for (const [title, [content, expected]] of Object.entries(faults)) {
    test(`is refused with ${title}, and says where`, () => {
      assert.throws(
        () => readPrincipalsFile(content),
        (error) => {
          assert.ok(error instanceof PrincipalsFileError);
          assert.equal(error.faults.length, expected.length, error.message);
          for (const [index, pattern] of expected.entries()) assert.match(error.faults[index] ?? "", pattern);
          return true;
        },
      );
    });
  }

  test("keeps the start from succeeding, and names the variable and the file", async (t) => {
    await assert.rejects(openPrincipals(t, toFile({ name: "a" })), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.faults[0] ?? "", /^TLS_CLIENT_PRINCIPALS: \/.*principals\.json: principals\[0\]: /);
      return true;
    });
  });

  test("that has changed counts for the next call, and one that is wrong changes nothing", async (t) => {
    const { principals, log, write } = await openPrincipals(t, toFile(good));
    const certificate = await createCertificate({ uris: [edgeId] });
    assert.deepEqual([...(principals.find(certificate)?.permissions ?? [])], ["users:read"]);

    await write(toFile({ ...good, permissions: ["users:write"] }));
    await log.until("the change", (line) => line.msg.includes("are in force"));
    assert.deepEqual([...(principals.find(certificate)?.permissions ?? [])], ["users:write"]);

    await write(toFile({ ...good, permissions: ["*"] }));
    await log.until("what is wrong", (line) => String(line["fault"]).includes("permissions[0]"));
    assert.deepEqual([...(principals.find(certificate)?.permissions ?? [])], ["users:write"]);

    await write(toFile());
    await log.until(
      "the second change",
      () => log.lines.filter((line) => line.msg.includes("are in force")).length === 2,
    );
    assert.equal(principals.find(certificate), undefined);
  });
});

describe("a certificate", () => {
  const byName = toFile(
    { name: "by-uri", uri: edgeId },
    { name: "by-other-uri", uri: "https://edge.example/id" },
    { name: "by-dns", dns: "Edge.Internal" },
    { name: "by-second-dns", dns: "second.internal" },
    { name: "by-subject", subject: "CN=edge,O=Shop" },
    { name: "by-escaped-subject", subject: "CN=a\\, b\\+c" },
  );
  const subject = [
    ["O", "Shop"],
    ["CN", "edge"],
  ] as const;

  const cases: Record<string, [terms: CertificateTerms, name: string | undefined]> = {
    "with the SPIFFE ID": [{ uris: [edgeId] }, "by-uri"],
    "with a SPIFFE ID below": [{ uris: [`${edgeId}/x`] }, undefined],
    "with the SPIFFE ID in capitals": [{ uris: [edgeId.replace("edge", "Edge")] }, undefined],
    "with another URI": [{ uris: ["https://edge.example/id"] }, "by-other-uri"],
    "with two URIs": [{ uris: ["https://edge.example/id", "https://edge.example/2"] }, undefined],
    "with two URIs and a DNS name": [
      { uris: ["https://edge.example/id", "https://edge.example/2"], dns: ["edge.internal"] },
      "by-dns",
    ],
    "with a SPIFFE ID beside another URI": [
      { uris: [edgeId, "https://edge.example/id"], dns: ["edge.internal"] },
      undefined,
    ],
    "with a SPIFFE ID, that signs others": [{ uris: [edgeId], isAuthority: true }, undefined],
    "with the DNS name": [{ dns: ["edge.internal"] }, "by-dns"],
    "with the DNS name in capitals": [{ dns: ["EDGE.INTERNAL"] }, "by-dns"],
    "with the DNS name among others": [{ dns: ["a.internal", "edge.internal", "second.internal"] }, "by-dns"],
    "with a wildcard that covers the DNS name": [{ dns: ["*.internal"] }, undefined],
    "with the DNS name as its common name only": [{ commonName: "edge.internal" }, undefined],
    "with the DNS name as a URI": [{ uris: ["dns:edge.internal"] }, undefined],
    "with URI and DNS name": [{ uris: [edgeId], dns: ["edge.internal"], subject }, "by-uri"],
    "with another SPIFFE ID and the DNS name": [
      { uris: ["spiffe://prod/other"], dns: ["edge.internal"], subject },
      "by-dns",
    ],
    "with other names and the subject": [{ dns: ["a.internal"], subject }, "by-subject"],
    "with the subject": [{ subject }, "by-subject"],
    "with a longer subject": [{ subject: [["C", "DE"], ...subject] }, undefined],
    "with the subject the other way round": [{ subject: subject.toReversed() }, undefined],
    "with a comma in its name": [{ commonName: "edge,O=Shop" }, undefined],
    "with a line break in its name": [{ commonName: "Shop\nCN=edge" }, undefined],
    "with a plus sign in its name": [{ subject: [["O", "Shop + CN=edge"]] }, undefined],
    "with such a name, found by what it is": [{ commonName: "a, b+c" }, "by-escaped-subject"],
    "with nothing that is known": [{ commonName: "nobody" }, undefined],
  };
  for (const [title, [terms, name]] of Object.entries(cases)) {
    test(`${title} is ${name === undefined ? "nobody's" : `found ${name}`}`, async (t) => {
      const { principals } = await openPrincipals(t, byName);
      const certificate = await createCertificate(terms);
      assert.equal(
        principals.find(certificate)?.name,
        name,
        `${certificate.subject} ${certificate.subjectAltName}`,
      );
    });
  }

  test("is nobody's before and after its time, though its connection may last", async (t) => {
    let now = new Date();
    const { principals } = await openPrincipals(t, byName, () => now);
    const certificate = await createCertificate({ uris: [edgeId], fromDay: -1, toDay: 1 });
    assert.equal(principals.find(certificate)?.name, "by-uri");
    now = new Date(certificate.validToDate.getTime() + 1);
    assert.equal(principals.find(certificate), undefined);
    now = new Date(certificate.validFromDate.getTime() - 1);
    assert.equal(principals.find(certificate), undefined);
    now = certificate.validToDate;
    assert.equal(principals.find(certificate)?.name, "by-uri");
  });

  test("has the names that it was given, whatever other names stand in their text", async () => {
    const hostile = fc
      .array(
        fc.oneof(
          fc.constantFrom(
            ", URI:",
            "URI:",
            edgeId,
            ", DNS:",
            "edge.internal",
            '"',
            "\\",
            "\n",
            "\0",
            ",",
            " ",
          ),
          fc.string({ unit: "binary-ascii", maxLength: 6 }),
        ),
        { minLength: 1, maxLength: 5 },
      )
      .map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(
        fc.array(hostile, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (dns, withUri) => {
          const uris = withUri ? ["https://edge.example/id"] : [];
          const names = readCertificateNames(await createCertificate({ dns, uris }));
          assert.deepEqual(names.dnsNames, dns);
          assert.deepEqual(names.uris, uris);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("whose bytes are anything else is never taken for one with names", async () => {
    const { raw, subject } = await createCertificate({ uris: [edgeId], dns: ["edge.internal"] });
    fc.assert(
      fc.property(
        fc.nat(raw.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (at, change, isCut) => {
          const bytes = Buffer.from(isCut ? raw.subarray(0, at) : raw);
          if (!isCut) bytes[at] = (bytes[at] ?? 0) ^ change;
          try {
            const { uris } = readCertificateNames({ raw: bytes, subject });
            // One byte cannot make it two names.
            assert.ok(uris.length <= 1);
            assert.ok(!isCut);
          } catch (error) {
            assert.equal((error as Error).name, "DerError", String(error));
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
