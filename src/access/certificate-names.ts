import type { X509Certificate } from "node:crypto";
import { DerError, type DerValue, readDerValues } from "./der.ts";

/** What a certificate says its holder is called. */
export interface CertificateNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** The most specific part first, e.g. `CN=edge,O=Shop`; empty where there is none. */
  readonly subject: string;
}

/** Tags of X.690, section 8, and RFC 5280, sections 4.1 and 4.2.1.6. */
const tags = {
  boolean: 0x01,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  extensions: 0xa3,
  dnsName: 0x82,
  uri: 0x86,
} as const;

/** 2.5.29.17, encoded. */
const subjectAltName = Buffer.from([0x55, 0x1d, 0x11]);

/**
 * Reads the names of a certificate.
 *
 * The alternative names come from the certificate's own bytes. Node's `subjectAltName` is one text of all of them,
 * and who splits it at its commas takes a part of a hostile DNS name for a URI (CVE-2021-44532).
 *
 * @throws DerError where the alternative names cannot be read
 */
export function readCertificateNames(
  certificate: Pick<X509Certificate, "raw" | "subject">,
): CertificateNames {
  const names = readAlternativeNames(certificate.raw);
  const textsOf = (tag: number) =>
    names.filter((name) => name.tag === tag).map(({ contents }) => contents.toString("latin1"));
  return {
    uris: textsOf(tags.uri),
    dnsNames: textsOf(tags.dnsName),
    subject: formatSubject(certificate.subject),
  };
}

function readAlternativeNames(raw: Buffer): readonly DerValue[] {
  const [certificate] = readDerValues(raw);
  const [tbsCertificate] = readDerValues(contentsOf(certificate, tags.sequence));
  const extensions = readDerValues(contentsOf(tbsCertificate, tags.sequence)).find(
    ({ tag }) => tag === tags.extensions,
  );
  if (extensions === undefined) return [];
  const [list] = readDerValues(extensions.contents);
  const found = readDerValues(contentsOf(list, tags.sequence))
    .map((extension) => readDerValues(contentsOf(extension, tags.sequence)))
    .filter(([id]) => contentsOf(id, tags.objectIdentifier).equals(subjectAltName));
  const [extension, second] = found;
  if (second !== undefined) throw new DerError("a second list of alternative names");
  if (extension === undefined) return [];
  const value = extension.find(({ tag }) => tag !== tags.objectIdentifier && tag !== tags.boolean);
  const [names] = readDerValues(contentsOf(value, tags.octetString));
  return readDerValues(contentsOf(names, tags.sequence));
}

function contentsOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag !== tag) throw new DerError(`no value with the tag ${tag}`);
  return value.contents;
}

/**
 * Node has a line for each part of a name, the least specific first, and `a + b` for a part of several attributes;
 * within a value line breaks, commas and plus signs are escaped. RFC 4514 begins with the most specific.
 */
function formatSubject(subject: string | undefined): string {
  const parts = subject === undefined || subject === "" ? [] : subject.split("\n");
  return parts
    .map((part) => part.split(" + ").reverse().join("+"))
    .reverse()
    .join(",");
}
