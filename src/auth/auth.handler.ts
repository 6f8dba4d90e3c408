import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type AuthResponseSchema, AuthService, type UserResponseSchema } from "../../gen/auth/auth_pb.ts";
import type { RoleService } from "../access/role.service.ts";
import { callerOf } from "../lane/caller.ts";
import { callerAddress } from "../platform/caller-address.ts";
import { describeHealth, type ServingStatus } from "../platform/service-health.ts";
import { toUnixSeconds } from "../platform/units.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account } from "../users/account.ts";
import { EmailTakenError } from "../users/user.errors.ts";
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
  readonly health: ServingStatus;
  readonly now: () => Date;
}

/** Implements auth.AuthService. Requests have passed the rules of the .proto file when they arrive here. */
export function createAuthHandler(dependencies: AuthHandlerDependencies): ServiceImpl<typeof AuthService> {
  const { accounts, passwords, logins, tokens, roles, health, now } = dependencies;
  return {
    authenticate: async ({ email, password }, { signal, values }) =>
      toAuthResponse(
        await logins.authenticate({ email, password }, { address: values.get(callerAddress) }, signal),
      ),

    validateToken: async ({ token }) => {
      const validation = await tokens.validate(token);
      if (!validation.isValid) return {};
      const { userId, isActive, isSuperuser, expiresAt } = validation;
      return { isValid: true, userId, isActive, isSuperuser, expiresAt };
    },

    refreshToken: async ({ refreshToken }, { signal }) =>
      toAuthResponse(await tokens.refresh(refreshToken, signal)),

    getUser: async ({ userId }, context) => toUserResponse(await accounts.get(userId, callerOf(context))),

    async createUser({ email, password, fullName, isActive, isSuperuser }, { signal }) {
      // Before the hash, which is the dear part. Whoever takes the email meanwhile is found at the insert.
      if (await accounts.exists(email, signal)) throw new EmailTakenError();
      const passwordHash = await passwords.hash(password, { signal });
      return toUserResponse(
        await accounts.create({ email, fullName, isActive, isSuperuser, passwordHash }, signal),
      );
    },

    async updateUser({ userId, email, password, fullName, isActive, isSuperuser }, { signal }) {
      // Before the hash, too: nobody's password is not worth one.
      const { id } = await accounts.get(userId, signal);
      const passwordHash = password === undefined ? undefined : await passwords.hash(password, { signal });
      return toUserResponse(
        await accounts.update(id, { email, fullName, isActive, isSuperuser, passwordHash }, signal),
      );
    },

    async deleteUser({ userId }, context) {
      await accounts.delete(userId, callerOf(context));
      return { success: true, message: "the user has been deleted" };
    },

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

function toAuthResponse(pair: TokenPair): MessageInitShape<typeof AuthResponseSchema> {
  return {
    accessToken: pair.accessToken,
    refreshToken: pair.refreshToken,
    tokenType: "bearer",
    expiresIn: BigInt(pair.expiresInSeconds),
  };
}

function toUserResponse(account: Account): MessageInitShape<typeof UserResponseSchema> {
  return {
    id: account.id,
    email: account.email,
    fullName: account.fullName,
    isActive: account.isActive,
    isSuperuser: account.isSuperuser,
    createdAt: toUnixSeconds(account.createdAt),
    updatedAt: toUnixSeconds(account.updatedAt),
  };
}
