import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AuthResponseSchema, UserResponseSchema } from "../../gen/auth/auth_pb.ts";
import { toUnixSeconds } from "../platform/units.ts";
import type { Account } from "../users/account.ts";
import type { TokenPair } from "./token-pair.ts";

/** What a login or a refresh is answered with. */
export function toAuthResponse(pair: TokenPair): MessageInitShape<typeof AuthResponseSchema> {
  return {
    accessToken: pair.accessToken,
    refreshToken: pair.refreshToken,
    tokenType: "bearer",
    expiresIn: BigInt(pair.expiresInSeconds),
  };
}

/** An account as auth.AuthService shows it. */
export function toUserResponse(account: Account): MessageInitShape<typeof UserResponseSchema> {
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
