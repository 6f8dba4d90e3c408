import type { X509Certificate } from "node:crypto";
import type { ApiKeyAuthenticator, AuthenticatedKey } from "../api-keys/api-key-authenticator.ts";
import type { TokenService } from "../auth/token.service.ts";
import type { TokenHolder } from "../auth/token-holder.ts";
import type { Door } from "../platform/door.ts";
import type { Principal } from "../platform/principal.ts";
import type { ClientPrincipals } from "./client-principal.ts";
import { readCredential } from "./credentials.ts";
import { certificatePrincipal, keyPrincipal, userPrincipal } from "./principals.ts";
import type { UserPermissions } from "./user-permissions.ts";

/** Those who tell good credentials from bad ones. */
export interface DoorDependencies {
  readonly tokens: Pick<TokenService, "findHolder">;
  readonly permissions: UserPermissions;
  readonly apiKeys: Pick<ApiKeyAuthenticator, "authenticate">;
  readonly certificates: ClientPrincipals;
}

type Found = Principal | undefined | Promise<Principal | undefined>;

/**
 * Creates the door. A credential in the header is the call's own; a certificate is its connection's, and stands for
 * whatever comes by that without one of its own: so an edge with a certificate can pass on its users' tokens.
 */
export function createDoor({ tokens, permissions, apiKeys, certificates }: DoorDependencies): Door {
  function identifyHolder(holder: TokenHolder | undefined): Found {
    if (holder === undefined) return undefined;
    if (holder.account.isSuperuser) return userPrincipal(holder, "all");
    const permitted = permissions.find(holder);
    return permitted instanceof Promise
      ? permitted.then((loaded) => loaded && userPrincipal(holder, loaded))
      : userPrincipal(holder, permitted);
  }

  function identifyCertificate(certificate: X509Certificate): Principal | undefined {
    const found = certificates.find(certificate);
    return found && certificatePrincipal(found, certificate);
  }

  return {
    credentialOf(scope) {
      const inHeader = readCredential(scope);
      if (inHeader !== undefined) return inHeader;
      const certificate = scope.origin.clientCertificate;
      return certificate !== undefined && certificates.find(certificate) !== undefined
        ? { kind: "certificate", certificate }
        : undefined;
    },
    identify(credential) {
      switch (credential.kind) {
        case "access_token":
          return after(tokens.findHolder(credential.text), identifyHolder);
        case "api_key":
          return after(apiKeys.authenticate(credential.text), identifyKey);
        case "certificate":
          return identifyCertificate(credential.certificate);
      }
    },
  };
}

function identifyKey(key: AuthenticatedKey | undefined): Principal | undefined {
  return key && keyPrincipal(key);
}

/** The next step: at once where the first one has been. */
function after<T>(found: T | Promise<T>, next: (found: T) => Found): Found {
  return found instanceof Promise ? found.then(next) : next(found);
}
