import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessService } from "../../gen/access/v1/access_pb.ts";
import type { AuthService } from "../../gen/auth/auth_pb.ts";
import { createAccessHandler } from "../access/access.handler.ts";
import { createRoleService } from "../access/role.service.ts";
import { createAuthHandler } from "../auth/auth.handler.ts";
import { answerJwks } from "../auth/jwks.ts";
import { createLoginService } from "../auth/login.service.ts";
import { startLoginCleanUp } from "../auth/login-clean-up.ts";
import { createLoginThrottle } from "../auth/login-throttle.ts";
import { createPasswordHasher } from "../auth/password-hasher.ts";
import { toSigningKeyTimes } from "../auth/signing-key.ts";
import { openSigningKeyBox } from "../auth/signing-key-encryption.ts";
import { openSigningKeyRing } from "../auth/signing-key-ring.ts";
import { createSigningKeyStore } from "../auth/signing-key-store.ts";
import { openTokenService } from "../auth/token.service.ts";
import type { HttpDocument } from "../server/http-document.ts";
import type { Core } from "./core.ts";

/** Where verifiers look for the keys of our tokens. */
const jwksPath = "/.well-known/jwks.json";

/** What auth adds to a process. */
export interface Auth {
  readonly handler: ServiceImpl<typeof AuthService>;
  readonly accessHandler: ServiceImpl<typeof AccessService>;
  readonly documents: readonly HttpDocument[];
}

/**
 * Builds passwords, logins, tokens, keys and roles, in order.
 *
 * @throws KeyEncryptionKeyError, the database's error
 */
export async function openAuth(core: Core): Promise<Auth> {
  const { config, logger, closing, database, tailer, log, accounts, health, now } = core;

  const box = await openSigningKeyBox(config.tokens);
  if (config.database.kind === "postgres" && config.tokens.keyEncryptionKeys === undefined) {
    logger.warn(
      `KEY_ENCRYPTION_KEY is not set: ${config.tokens.keyFile} encrypts the signing keys, and every process of this database needs it, also the next one started here`,
    );
  }
  const store = createSigningKeyStore(database, box, toSigningKeyTimes(config.tokens));
  const keys = await openSigningKeyRing(store, logger);
  closing.push("signing keys", () => keys.close());
  const settings = config.tokens;
  const tokens = openTokenService({ database, tailer, accounts, keys, settings, logger });
  closing.push("tokens", () => tokens.close());

  const passwords = createPasswordHasher(config.passwords);
  const throttle = createLoginThrottle({ database, now });
  closing.push("login clean-up", startLoginCleanUp(database, logger));
  const logins = createLoginService({
    accounts,
    hasher: passwords,
    throttle,
    issue: (account) => tokens.issue(account),
    logger,
  });

  const roles = createRoleService({ database, log, now });
  return {
    handler: createAuthHandler({ accounts, passwords, logins, tokens, roles, health, now }),
    accessHandler: createAccessHandler(roles),
    documents: [{ path: jwksPath, answer: () => answerJwks(keys) }],
  };
}
