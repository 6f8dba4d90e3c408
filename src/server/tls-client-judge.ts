import { createHash, timingSafeEqual, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { TlsConfig } from "../platform/config.ts";

/** What is made of a client after its handshake: the good certificate that it has, if any, or what is wrong. */
export type Verdict = { readonly certificate: X509Certificate | undefined } | { readonly fault: string };

/**
 * Judges the certificate that the other end has shown. Where authorities are configured, one of them must have signed
 * it (OpenSSL has looked at the chain, its times and that it is for clients); where pins are, its key must be pinned;
 * where both are, both. A pin alone vouches for the key, whoever signed it, so that its times are looked at here.
 */
export function judgeClient(
  socket: Pick<TLSSocket, "authorized" | "authorizationError" | "getPeerX509Certificate">,
  { clientAuth, clientCaPath, clientSpkiPins }: TlsConfig,
  now: Date,
): Verdict {
  if (clientAuth === "off") return { certificate: undefined };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return clientAuth === "optional" ? { certificate } : { fault: "no certificate" };
  }
  // The configuration refuses it, and so does this: nothing would be left to tell good certificates by.
  if (clientCaPath === undefined && clientSpkiPins.length === 0) return { fault: "nobody is trusted" };
  if (clientCaPath !== undefined && !socket.authorized) return { fault: String(socket.authorizationError) };
  if (clientSpkiPins.length > 0 && !isPinned(certificate, clientSpkiPins)) return { fault: "not pinned" };
  if (now < certificate.validFromDate) return { fault: "not valid yet" };
  if (now > certificate.validToDate) return { fault: "expired" };
  return { certificate };
}

/** All pins are compared, each in constant time: how long it takes says nothing of how near a key comes to one. */
function isPinned({ publicKey }: X509Certificate, pins: readonly Buffer[]): boolean {
  const spki = publicKey.export({ type: "spki", format: "der" });
  const digest = createHash("sha256").update(spki).digest();
  return pins.reduce((found, pin) => timingSafeEqual(pin, digest) || found, false);
}
