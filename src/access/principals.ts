import type { X509Certificate } from "node:crypto";
import type { AuthenticatedKey } from "../api-keys/api-key-authenticator.ts";
import type { TokenHolder } from "../auth/token-holder.ts";
import type { Principal, PrincipalUser } from "../platform/principal.ts";
import type { ClientPrincipal } from "./client-principal.ts";

/** Somebody with an access token. Superusers may do everything, the others what their roles permit. */
export function userPrincipal(
  { token, account }: TokenHolder,
  permissions: ReadonlySet<string> | "all",
): Principal {
  const user: PrincipalUser = { id: token.userId, email: account.email, username: account.username };
  return {
    kind: "user",
    actor: `user:${token.userId}`,
    credential: `token:${token.id}`,
    user,
    permits: (permission) => permissions === "all" || permissions.has(permission),
    permitsAll: permissions === "all",
  };
}

/** A program with an API key. */
export function keyPrincipal({ id, display, scopes }: AuthenticatedKey): Principal {
  return {
    kind: "api_key",
    actor: `key:${id}`,
    credential: `key:${display}`,
    user: undefined,
    permits: (permission) => scopes.has(permission),
  };
}

/** A program with a client certificate. */
export function certificatePrincipal(
  { name, permissions }: ClientPrincipal,
  certificate: X509Certificate,
): Principal {
  return {
    kind: "certificate",
    actor: `certificate:${name}`,
    credential: `certificate:${certificate.fingerprint256}`,
    user: undefined,
    permits: (permission) => permissions.has(permission),
  };
}
