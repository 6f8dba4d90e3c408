import type { X509Certificate } from "node:crypto";
import type { CallScope } from "./call-scope.ts";
import type { Principal } from "./principal.ts";

/** What a call shows to say who makes it. */
export type Credential = HeaderCredential | CertificateCredential;

/** A secret in the request's header. */
export interface HeaderCredential {
  readonly kind: "access_token" | "api_key";
  readonly text: string;
}

/** The certificate of the connection that the call came by. */
export interface CertificateCredential {
  readonly kind: "certificate";
  readonly certificate: X509Certificate;
}

/** Knows who calls. Nothing that it says is older than a second, or than the question. */
export interface Door {
  /**
   * The credential of a call: the one in its header, else the certificate of its connection, if that is somebody's.
   * Undefined where there is none. Whether it is good, {@link identify} says.
   *
   * @throws UnauthenticatedError where there are several, or what stands in their place is none
   */
  credentialOf(scope: CallScope): Credential | undefined;
  /**
   * Who is behind a credential; undefined where it is not good, for whatever reason. At once where all that it takes
   * is in memory.
   *
   * @throws DatabaseUnavailableError, the database's error, where that had to be asked
   */
  identify(credential: Credential): Principal | undefined | Promise<Principal | undefined>;
}
