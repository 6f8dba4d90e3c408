import type { X509Certificate } from "node:crypto";

/** Whom client certificates stand for. */
export interface ClientPrincipal {
  /** Unique among them: what the audit log calls them. */
  readonly name: string;
  readonly permissions: ReadonlySet<string>;
}

/** Knows which certificates are whose. */
export interface ClientPrincipals {
  /**
   * Whom a certificate stands for right now; undefined where it is nobody's, and where it has expired since the
   * handshake, which has found out that it is good. Asked for each call: the answer must come from memory.
   */
  find(certificate: X509Certificate): ClientPrincipal | undefined;
}

/** Where there is no file that says whose certificates are: nobody's. */
export const noClientPrincipals: ClientPrincipals = { find: () => undefined };
