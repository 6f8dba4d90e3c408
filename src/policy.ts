import type { DescService } from "@bufbuild/protobuf";
import { AccessService } from "../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../gen/audit/v1/audit_pb.ts";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { InternalAuthService } from "../gen/ingestion/internal_auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { type AccessRule, type Policy, procedureOf, type ServicePolicy } from "./platform/policy.ts";

const isPublic = { kind: "public" } as const;
const authenticated = { kind: "authenticated" } as const;

/** Whoever holds the permission may. */
const needs = (permission: string) => ({ kind: "permission", permission }) as const;

/** Whoever holds the permission may, and users may do it to themselves. */
const needsOrSelf = <Request>(permission: string, self: (request: Request) => SelfOf) =>
  ({ kind: "permission", permission, self }) as const;

type SelfOf = ReturnType<NonNullable<Extract<AccessRule, { kind: "permission" }>["self"]>>;

const byUserId = ({ userId }: { userId: string }): SelfOf => ({ id: userId });

/** The one user whose events a stream is of; several, or none, are not oneself. */
function onlyUser({ userIds }: { userIds: readonly string[] }): SelfOf {
  const [id = "", ...others] = new Set(userIds.map((text) => text.toLowerCase()));
  return others.length === 0 ? { id } : {};
}

/**
 * Who may call what: every RPC of every service, on both listeners. docs/access.md lists the permissions.
 *
 * RPCs are public where whoever calls has no credential yet (logins, health), or has in hand what they ask about (a
 * token, a key).
 */
export const policy: Policy = new Map([
  ...rulesOf(UserService, {
    registerUser: needs("users:write"),
    getUser: needsOrSelf("users:read", ({ id, email, username }) => ({ id, email, username })),
    batchGetUsers: needs("users:read"),
    listUsers: needs("users:read"),
    updateUser: needsOrSelf("users:write", ({ user }) => ({ id: user?.id ?? "" })),
    activateUser: needs("users:write"),
    deactivateUser: needs("users:write"),
    deleteUser: needs("users:delete"),
    streamUserEvents: needsOrSelf("events:read", onlyUser),
  }),
  ...rulesOf(AuthService, {
    authenticate: isPublic,
    validateToken: isPublic,
    refreshToken: isPublic,
    getUser: needsOrSelf("accounts:read", byUserId),
    createUser: needs("accounts:write"),
    updateUser: needsOrSelf("accounts:write", byUserId),
    deleteUser: needs("accounts:delete"),
    checkEmailExists: needs("accounts:read"),
    getUserRoles: needsOrSelf("roles:read", byUserId),
    healthCheck: isPublic,
  }),
  ...rulesOf(AccessService, {
    listRoles: needs("roles:read"),
    createRole: needs("roles:write"),
    deleteRole: needs("roles:write"),
    grantPermission: needs("roles:write"),
    revokePermission: needs("roles:write"),
    assignRole: needs("roles:write"),
    unassignRole: needs("roles:write"),
  }),
  ...rulesOf(ProfileService, {
    getUserProfile: needsOrSelf("profiles:read", byUserId),
    updateUserProfile: needsOrSelf("profiles:write", byUserId),
    getUserPreferences: needsOrSelf("profiles:read", byUserId),
    updateUserPreferences: needsOrSelf("profiles:write", byUserId),
    getUserActivity: needsOrSelf("profiles:read", byUserId),
    recordUserActivity: needsOrSelf("profiles:write", byUserId),
    getUserByEmail: needsOrSelf("profiles:read", ({ email }) => ({ email })),
    searchUsers: needs("profiles:read"),
    healthCheck: isPublic,
  }),
  ...rulesOf(ApiKeyService, {
    createApiKey: needs("api-keys:write"),
    listApiKeys: needs("api-keys:read"),
    getApiKey: needs("api-keys:read"),
    revokeApiKey: needs("api-keys:write"),
    rotateApiKey: needs("api-keys:write"),
  }),
  ...rulesOf(AuditService, { listAuditEntries: needs("audit:read") }),
  ...rulesOf(InternalAuthService, { validateApiKey: isPublic }),
  ...rulesOf(Health, { check: isPublic, watch: isPublic, list: isPublic }),
  ...rulesOf(ServerReflection, { serverReflectionInfo: authenticated }),
  ...rulesOf(ServerReflectionAlpha, { serverReflectionInfo: authenticated }),
]);

function rulesOf<Service extends DescService>(
  service: Service,
  rules: ServicePolicy<Service>,
): [string, AccessRule][] {
  return service.methods.map((method) => [
    procedureOf(method),
    rules[method.localName as keyof typeof rules] as AccessRule,
  ]);
}
