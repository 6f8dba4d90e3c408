import { createHash, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { generate } from "selfsigned";
import { cleanUpAfter } from "./clean-up.ts";

/** A certificate and its key, in PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate says. */
export interface CertificateTerms {
  readonly commonName?: string;
  /** The parts of its subject as they are encoded, mostly the least specific first, instead of a common name. */
  readonly subject?: readonly (readonly [attribute: string, value: string])[];
  readonly dns?: readonly string[];
  readonly uris?: readonly string[];
  /** What it is for; both unless said. */
  readonly purpose?: "client" | "server";
  readonly isAuthority?: boolean;
  /** Days from now. */
  readonly fromDay?: number;
  readonly toDay?: number;
  /** Instead of a new key. */
  readonly keyPair?: { readonly publicKey: string; readonly privateKey: string };
  /** Of 2048 bits, where one is needed; they take long to make. */
  readonly isRsa?: boolean;
}

/** Somebody who signs certificates. */
export interface Authority extends KeyPair {
  issue(terms: CertificateTerms): Promise<KeyPair>;
  /** An authority that this one has signed. */
  issueAuthority(commonName: string): Promise<Authority>;
}

/** A certificate that signs itself. */
export function selfSign(terms: CertificateTerms): Promise<KeyPair> {
  return sign(terms);
}

/** An authority of its own. */
export async function createAuthority(commonName: string): Promise<Authority> {
  return toAuthority(await sign({ commonName, isAuthority: true }));
}

function toAuthority(pair: KeyPair): Authority {
  return {
    ...pair,
    issue: (terms) => sign(terms, pair),
    issueAuthority: async (commonName) => toAuthority(await sign({ commonName, isAuthority: true }, pair)),
  };
}

const dayMs = 86_400_000;

async function sign(terms: CertificateTerms, ca?: KeyPair): Promise<KeyPair> {
  const {
    commonName = "test",
    subject = [["CN", commonName]],
    dns = [],
    uris = [],
    purpose,
    isAuthority = false,
    isRsa = false,
  } = terms;
  const { fromDay = -1, toDay = 30, keyPair } = terms;
  const altNames = [
    ...dns.map((value) => ({ type: 2 as const, value })),
    ...uris.map((value) => ({ type: 6 as const, value })),
    ...(purpose === "server" ? [{ type: 7 as const, ip: "127.0.0.1" }] : []),
  ];
  const { cert, private: key } = await generate(subject.map(toAttribute), {
    keyType: isRsa ? "rsa" : "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(Date.now() + fromDay * dayMs),
    notAfterDate: new Date(Date.now() + toDay * dayMs),
    extensions: [
      { name: "basicConstraints", cA: isAuthority, critical: true },
      ...(isAuthority ? [{ name: "keyUsage" as const, keyCertSign: true, critical: true }] : []),
      ...(isAuthority
        ? []
        : [
            {
              name: "extKeyUsage" as const,
              clientAuth: purpose !== "server",
              serverAuth: purpose !== "client",
            },
          ]),
      ...(altNames.length > 0 ? [{ name: "subjectAltName" as const, altNames }] : []),
    ],
    ...(keyPair && { keyPair }),
    ...(ca && { ca }),
  });
  return { cert, key };
}

/** The generator reads subjects as RFC 4514 writes them; it takes line breaks as the bytes of a UTF8String only. */
function toAttribute([shortName, value]: readonly [string, string]) {
  const bytes = Buffer.from(value);
  const encoded = `#${Buffer.concat([Buffer.of(0x0c, bytes.length), bytes]).toString("hex")}`;
  return { shortName, value: value.includes("\n") ? encoded : value.replace(/[,+"\\<>;=#]/g, "\\$&") };
}

/** The pin of a certificate's public key, as TLS_CLIENT_SPKI_PINS takes it, decoded. */
export function pinOf({ cert }: Pick<KeyPair, "cert">): Buffer {
  const { publicKey } = new X509Certificate(cert);
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
}

/** Contents of the files of a listener's TLS; what is undefined is not there. */
export interface TlsContents {
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly clientCa: string | undefined;
}

/** Files of a listener's TLS, in a folder that goes with the test. */
export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly clientCaPath: string;
  /** Swaps all of them at once, behind a symbolic link, as Kubernetes does. What is not given stays as it was. */
  publish(changes: Partial<TlsContents>): Promise<void>;
}

/** Writes the files. */
export async function createTlsFiles(
  t: TestContext,
  pair: KeyPair,
  authority?: Pick<KeyPair, "cert">,
): Promise<TlsFiles> {
  const directory = await mkdtemp(join(tmpdir(), "user-bridge-tls-"));
  cleanUpAfter(t, () => rm(directory, { recursive: true }));
  const current = join(directory, "current");
  let contents: TlsContents = { cert: pair.cert, key: pair.key, clientCa: authority?.cert };
  let version = 0;

  async function publish(changes: Partial<TlsContents>): Promise<void> {
    contents = { ...contents, ...changes };
    const name = `${++version}`;
    await mkdir(join(directory, name));
    for (const [file, content] of Object.entries({
      "tls.crt": contents.cert,
      "tls.key": contents.key,
      "ca.crt": contents.clientCa,
    })) {
      if (content !== undefined) await writeFile(join(directory, name, file), content);
    }
    await symlink(name, join(directory, "next"));
    await rename(join(directory, "next"), current);
  }

  await publish({});
  return {
    certPath: join(current, "tls.crt"),
    keyPath: join(current, "tls.key"),
    clientCaPath: join(current, "ca.crt"),
    publish,
  };
}
