import type { ServiceImpl } from "@connectrpc/connect";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import type { RoleService } from "../access/role.service.ts";
import { callerOf } from "../lane/caller.ts";
import { type AccountGuard, superusersPermission } from "../platform/account-guard.ts";
import { callScope } from "../platform/call-scope.ts";
import { requirePermissions } from "../platform/require-permissions.ts";
import { describeHealth, type ServingStatus } from "../platform/service-health.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account } from "../users/account.ts";
import { EmailTakenError } from "../users/user.errors.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { toAuthResponse, toUserResponse } from "./auth-messages.ts";
import type { LoginService } from "./login.service.ts";
import type { PasswordHasher } from "./password-hasher.ts";
import type { TokenService } from "./token.service.ts";
import type { TokenPair } from "./token-pair.ts";

/** What the handler delegates to. */
export interface AuthHandlerDependencies {
  readonly accounts: AccountService;
  readonly passwords: PasswordHasher;
  readonly logins: LoginService;
  readonly tokens: TokenService;
  readonly roles: RoleService;
  readonly accountGuard: AccountGuard;
  readonly answerWrite: AnswerWrite;
  readonly health: ServingStatus;
  readonly now: () => Date;
}

/** Implements auth.AuthService. Requests have passed the rules of the .proto file when they arrive here. */
export function createAuthHandler(dependencies: AuthHandlerDependencies): ServiceImpl<typeof AuthService> {
  const { accounts, passwords, logins, tokens, roles, accountGuard, answerWrite, health, now } = dependencies;

  return {
    authenticate: (request, context) => {
      const { email, password } = request;
      const { signal, values } = context;
      const { address } = values.get(callScope);
      return answerWrite(context, request, {
        write: (caller: WriteCaller<TokenPair>) =>
          logins.authenticate({ email, password }, { address }, signal, caller),
        ...withTokens,
      });
    },

    validateToken: async ({ token }) => {
      const validation = await tokens.validate(token);
      if (!validation.isValid) return {};
      const { userId, isActive, isSuperuser, expiresAt } = validation;
      return { isValid: true, userId, isActive, isSuperuser, expiresAt };
    },

    refreshToken: (request, context) =>
      tokens.refreshOnce(request.refreshToken, (trade) =>
        answerWrite(context, request, { write: trade, ...withTokens }),
      ),

    getUser: async ({ userId }, context) => toUserResponse(await accounts.get(userId, callerOf(context))),

    createUser(request, context) {
      const { email, password, fullName, isActive, isSuperuser } = request;
      const { signal } = context;
      if (isSuperuser) requirePermissions(context, [superusersPermission]);
      return answerWrite(context, request, {
        async write(caller: WriteCaller<Account>) {
          // Before the hash, which is the dear part. Whoever takes the email meanwhile is found at the insert.
          if (await accounts.exists(email, signal)) throw new EmailTakenError();
          const passwordHash = await passwords.hash(password, { signal });
          return accounts.create({ email, fullName, isActive, isSuperuser, passwordHash }, caller);
        },
        ...withAccount,
      });
    },

    updateUser(request, context) {
      const { userId, email, password, fullName, isActive, isSuperuser } = request;
      const { signal, values } = context;
      const { principal } = values.get(callScope);
      return answerWrite(context, request, {
        async write(caller: WriteCaller<Account>) {
          // Before the hash, too: nobody's password is not worth one.
          const account = await accounts.get(userId, signal);
          await accountGuard.assertMayChange(principal, account.id, caller, [
            // The policy lets people change themselves, which is not this.
            ...(isActive === undefined ? [] : ["accounts:write"]),
            ...(isSuperuser === undefined ? [] : [superusersPermission]),
          ]);
          const passwordHash =
            password === undefined ? undefined : await passwords.hash(password, { signal });
          const change = { email, fullName, isActive, isSuperuser, passwordHash };
          return accounts.update(account.id, change, caller);
        },
        ...withAccount,
      });
    },

    deleteUser: (request, context) =>
      answerWrite(context, request, {
        async write(caller: WriteCaller<void>) {
          const { principal } = context.values.get(callScope);
          await accountGuard.assertMayChange(principal, request.userId, caller);
          await accounts.delete(request.userId, caller);
        },
        answer: () => ({ success: true, message: "the user has been deleted" }),
        subject: () => request.userId.toLowerCase(),
      }),

    checkEmailExists: async ({ email }, { signal }) => ({ exists: await accounts.exists(email, signal) }),

    async getUserRoles({ userId }, { signal }) {
      const { userId: id, roles: names, permissions } = await roles.getUserRoles(userId, signal);
      return {
        userId: id,
        roles: [...names],
        permissions: Object.fromEntries(permissions.map((permission) => [permission, "true"])),
      };
    },

    healthCheck: ({ service }) => describeHealth(AuthService, service, health, now()),
  };
}

const withTokens = { answer: toAuthResponse, subject: ({ userId }: TokenPair): string => userId };

const withAccount = { answer: toUserResponse, subject: ({ id }: Account): string => id };
