import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessService } from "../../gen/access/v1/access_pb.ts";
import type { AuthService } from "../../gen/auth/auth_pb.ts";
import { createAccessHandler } from "../access/access.handler.ts";
import { createAuthHandler } from "../auth/auth.handler.ts";
import { answerJwks } from "../auth/jwks.ts";
import { createLoginService } from "../auth/login.service.ts";
import { startLoginCleanUp } from "../auth/login-clean-up.ts";
import { createLoginThrottle } from "../auth/login-throttle.ts";
import { createPasswordHasher } from "../auth/password-hasher.ts";
import type { HttpDocument } from "../server/http-document.ts";
import type { Core } from "./core.ts";
import type { Tokens } from "./tokens.ts";

/** Where verifiers look for the keys of our tokens. */
const jwksPath = "/.well-known/jwks.json";

/** What auth adds to a process. */
export interface Auth {
  readonly handler: ServiceImpl<typeof AuthService>;
  readonly accessHandler: ServiceImpl<typeof AccessService>;
  readonly documents: readonly HttpDocument[];
}

/** Builds passwords, logins and roles over the tokens, in order. */
export function openAuth(core: Core, { keys, tokens }: Tokens): Auth {
  const { config, logger, closing, database, accounts, roles, answerWrite, accountGuard, health, now } = core;
  const passwords = createPasswordHasher(config.passwords);
  core.metrics?.watch({ passwords: passwords.load });
  const throttle = createLoginThrottle({ database, now });
  closing.push("login clean-up", startLoginCleanUp(database, logger));
  const logins = createLoginService({
    accounts,
    hasher: passwords,
    throttle,
    issue: tokens.issue,
    logger,
  });

  return {
    handler: createAuthHandler({
      accounts,
      passwords,
      logins,
      tokens,
      roles,
      accountGuard,
      answerWrite,
      health,
      now,
    }),
    accessHandler: createAccessHandler(roles, answerWrite),
    documents: [{ path: jwksPath, answer: () => answerJwks(keys) }],
  };
}
