import type { X509Certificate } from "node:crypto";
import { ConfigError } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import { openWatchedFiles, type WatchOptions } from "../platform/watched-files.ts";
import { type CertificateNames, readCertificateNames } from "./certificate-names.ts";
import type { ClientPrincipal, ClientPrincipals } from "./client-principal.ts";
import { PrincipalsFileError, type PrincipalTable, readPrincipalsFile } from "./client-principals-file.ts";
import { DerError } from "./der.ts";

/** Principals that follow a file. */
export interface OpenClientPrincipals extends ClientPrincipals {
  /** Looks at the file no more. */
  close(): void;
}

/** What the principals are made of. */
export interface ClientPrincipalsDependencies {
  /** The file, as docs/tls.md describes it. */
  readonly path: string;
  readonly logger: Logger;
  readonly now: () => Date;
  readonly watch?: WatchOptions;
}

/**
 * Reads a file that says whose certificates are, and watches it. A change counts for the next call on every
 * connection, those that are open too.
 *
 * @throws ConfigError that names each fault of the file; the system's error where it cannot be read
 */
export async function openClientPrincipals({
  path,
  logger,
  now,
  watch,
}: ClientPrincipalsDependencies): Promise<OpenClientPrincipals> {
  let table: PrincipalTable | undefined;
  let known = new WeakMap<X509Certificate, { readonly principal: ClientPrincipal | undefined }>();
  const files = await openWatchedFiles(
    [path],
    ([contents]) => {
      table = read(path, contents?.toString("utf8") ?? "");
      known = new WeakMap();
    },
    logger,
    watch,
  );

  return {
    find(certificate) {
      // A connection may last longer than the certificate that it began with.
      if (!isInForce(certificate, now())) return undefined;
      let found = known.get(certificate);
      if (found === undefined) {
        found = { principal: table && match(certificate, table) };
        known.set(certificate, found);
      }
      return found.principal;
    },
    close: files.close,
  };
}

function read(path: string, text: string): PrincipalTable {
  try {
    return readPrincipalsFile(text);
  } catch (error) {
    if (!(error instanceof PrincipalsFileError)) throw error;
    throw new ConfigError(error.faults.map((fault) => `TLS_CLIENT_PRINCIPALS: ${path}: ${fault}`));
  }
}

function isInForce({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return validFromDate <= now && now <= validToDate;
}

/** Whose a certificate is: by its URI, else by a DNS name (the first of its own that is known), else by its subject. */
function match(certificate: X509Certificate, table: PrincipalTable): ClientPrincipal | undefined {
  const names = findNames(certificate);
  if (names === undefined || isBadSpiffe(certificate, names)) return undefined;
  const [uri = "", ...otherUris] = names.uris;
  const byUri = otherUris.length === 0 ? table.uri.get(uri) : undefined;
  const byDns = names.dnsNames.map((name) => table.dns.get(name.toLowerCase())).find(Boolean);
  return byUri ?? byDns ?? table.subject.get(names.subject);
}

/** Undefined where the certificate's bytes allow of more than one reading. */
function findNames(certificate: X509Certificate): CertificateNames | undefined {
  try {
    return readCertificateNames(certificate);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/**
 * The X.509-SVID standard, sections 2 and 5.2: whoever is shown a SPIFFE ID beside another URI, or in a certificate
 * that signs others, must reject it.
 */
function isBadSpiffe({ ca }: X509Certificate, { uris }: CertificateNames): boolean {
  return uris.some((uri) => /^spiffe:/i.test(uri)) && (uris.length > 1 || ca);
}
