import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { ConfigError, type TlsConfig } from "../platform/config.ts";
import { contextSettings } from "./tls-settings.ts";

/** What a listener shows and trusts, found to work. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  /** The certificate itself, the first of those in `cert`. */
  readonly leaf: X509Certificate;
}

/** The files of a listener's TLS, in the order in which {@link readTlsMaterial} takes their contents. */
export function tlsPaths({ certPath, keyPath, clientCaPath }: TlsConfig): readonly string[] {
  return [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
}

/**
 * Makes sure that the contents of the files are what they should be and fit together. OpenSSL takes some that are
 * not: of a file of authorities it reads what it can and ignores the rest, and a key of another kind than the
 * certificate's counts as one for a certificate that is yet to come.
 *
 * @throws ConfigError that names each fault
 */
export function readTlsMaterial(config: TlsConfig, contents: readonly Buffer[]): TlsMaterial {
  const [cert = Buffer.of(), key = Buffer.of(), ca] = contents;
  const faults: string[] = [];
  const leaf = attempt(`TLS_CERT: ${config.certPath}`, () => readCertificates(cert)[0]);
  const privateKey = attempt(`TLS_KEY: ${config.keyPath}`, () => readPrivateKey(key));
  if (ca !== undefined) attempt(`TLS_CLIENT_CA: ${config.clientCaPath}`, () => readCertificates(ca));
  if (leaf !== undefined && privateKey !== undefined && !leaf.checkPrivateKey(privateKey)) {
    faults.push(`TLS_KEY: ${config.keyPath} is not the key of the certificate in ${config.certPath}`);
  }
  const material = { cert, key, ...(ca !== undefined && { ca }) };
  if (faults.length === 0) {
    attempt(`TLS_CERT: ${config.certPath}`, () => createSecureContext({ ...contextSettings, ...material }));
  }
  if (faults.length > 0 || leaf === undefined) throw new ConfigError(faults);
  return { ...material, leaf };

  function attempt<Result>(what: string, read: () => Result): Result | undefined {
    try {
      return read();
    } catch (error) {
      faults.push(
        `${what} ${error instanceof PemError ? error.message : `cannot be used: ${String(error)}`}`,
      );
      return undefined;
    }
  }
}

class PemError extends Error {
  override readonly name = "PemError";
}

const beginLine = "-----BEGIN CERTIFICATE-----";
const block = new RegExp(`${beginLine}[\\s\\S]*?-----END CERTIFICATE-----`, "g");

function readCertificates(pem: Buffer): X509Certificate[] {
  const text = pem.toString("latin1");
  const blocks = text.match(block) ?? [];
  if (blocks.length === 0) throw new PemError("has no certificate in PEM");
  if (blocks.length !== text.split(beginLine).length - 1) throw new PemError("ends within a certificate");
  return blocks.map((one, index) => {
    try {
      return new X509Certificate(one);
    } catch (error) {
      throw new PemError(`has a certificate, the ${index + 1}. in it, that cannot be read`, { cause: error });
    }
  });
}

/** The error's own text is not shown: nothing that was in the file should be. */
function readPrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new PemError("has no private key in PEM that can be read without a passphrase", { cause: error });
  }
}
