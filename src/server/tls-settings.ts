import { constants } from "node:crypto";
import type { TlsOptions } from "node:tls";

/**
 * Mozilla's "intermediate" list (Server Side TLS 5.7) without its DHE suites, which no client needs that can speak
 * HTTP/2: forward secrecy and authenticated encryption only. None is on HTTP/2's list of forbidden ones (RFC 9113,
 * appendix A), which are all those without one or the other.
 */
const ciphers = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];

/**
 * How the process speaks TLS, whoever it is and whomever it lets in. It belongs to the secure context, which
 * `setSecureContext` makes anew: what it is not given again is gone.
 */
export const contextSettings = {
  minVersion: "TLSv1.2",
  ciphers: ciphers.join(":"),
  // All of them are good, so the client may choose what its hardware is fast at: as Mozilla recommends.
  honorCipherOrder: false,
  /*
   * No renegotiation: HTTP/2 forbids it (RFC 9113, section 9.2.1), and it costs the server more than the client.
   *
   * No tickets, and so no resumption, since Node keeps no sessions either. A resumed session would bring along the
   * client certificate of its first handshake with the verdict of that time: nobody looks again at whether it has
   * expired since, or whether its authority is still trusted. OpenSSL also never changes the key of its tickets,
   * and whoever learnt it could read every TLS 1.2 session under it.
   */
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
} as const satisfies TlsOptions;

/** Like the limit for the first bytes in cleartext: a connection that has not shaken hands by then is no client. */
export const defaultHandshakeTimeoutMs = 10_000;
