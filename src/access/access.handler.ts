import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessService, RoleSchema } from "../../gen/access/v1/access_pb.ts";
import type { RoleService } from "./role.service.ts";
import type { Role } from "./role.ts";

/**
 * Creates the implementation of access.v1.AccessService over the service. Requests have passed the rules of the
 * .proto file when they arrive here.
 */
export function createAccessHandler(roles: RoleService): ServiceImpl<typeof AccessService> {
  return {
    listRoles: async (_request, { signal }) => ({ roles: (await roles.list(signal)).map(toMessage) }),
    createRole: async ({ name, description, permissions }, { signal }) => ({
      role: toMessage(await roles.create({ name, description, permissions }, signal)),
    }),
    async deleteRole({ name }, { signal }) {
      await roles.delete(name, signal);
      return {};
    },
    grantPermission: async ({ role, permission }, { signal }) => ({
      role: toMessage(await roles.grantPermission(role, permission, signal)),
    }),
    revokePermission: async ({ role, permission }, { signal }) => ({
      role: toMessage(await roles.revokePermission(role, permission, signal)),
    }),
    async assignRole({ userId, role }, { signal }) {
      const assigned = await roles.assign(userId, role, signal);
      return { userId: assigned.userId, roles: [...assigned.roles] };
    },
    async unassignRole({ userId, role }, { signal }) {
      const left = await roles.unassign(userId, role, signal);
      return { userId: left.userId, roles: [...left.roles] };
    },
  };
}

function toMessage(role: Role): MessageInitShape<typeof RoleSchema> {
  return {
    name: role.name,
    description: role.description,
    permissions: [...role.permissions],
    builtIn: role.isBuiltIn,
  };
}
