import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessService, RoleSchema } from "../../gen/access/v1/access_pb.ts";
import { requirePermissions } from "../platform/require-permissions.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import type { RoleService } from "./role.service.ts";
import type { Role, UserRoles } from "./role.ts";

/**
 * Creates the implementation of access.v1.AccessService over the service. Requests have passed the rules of the
 * .proto file when they arrive here.
 *
 * Nobody lets others do what they may not do themselves: neither by a new permission nor by a role.
 */
export function createAccessHandler(
  roles: RoleService,
  answerWrite: AnswerWrite,
): ServiceImpl<typeof AccessService> {
  return {
    listRoles: async (_request, { signal }) => ({ roles: (await roles.list(signal)).map(toMessage) }),
    async createRole(request, context) {
      const { name, description, permissions } = request;
      requirePermissions(context, permissions);
      return answerWrite(context, request, {
        write: (caller: WriteCaller<Role>) => roles.create({ name, description, permissions }, caller),
        ...aboutRole,
      });
    },
    deleteRole: (request, context) =>
      answerWrite(context, request, {
        write: (caller: WriteCaller<void>) => roles.delete(request.name, caller),
        answer: () => ({}),
        subject: () => request.name,
      }),
    async grantPermission(request, context) {
      const { role, permission } = request;
      requirePermissions(context, [permission]);
      return answerWrite(context, request, {
        write: (caller: WriteCaller<Role>) => roles.grantPermission(role, permission, caller),
        ...aboutRole,
      });
    },
    revokePermission: (request, context) =>
      answerWrite(context, request, {
        write: (caller: WriteCaller<Role>) =>
          roles.revokePermission(request.role, request.permission, caller),
        ...aboutRole,
      }),
    async assignRole(request, context) {
      const { userId, role } = request;
      requirePermissions(context, (await roles.find(role, context.signal))?.permissions ?? []);
      return answerWrite(context, request, {
        write: (caller: WriteCaller<UserRoles>) => roles.assign(userId, role, caller),
        ...aboutUser,
      });
    },
    unassignRole: (request, context) =>
      answerWrite(context, request, {
        write: (caller: WriteCaller<UserRoles>) => roles.unassign(request.userId, request.role, caller),
        ...aboutUser,
      }),
  };
}

const aboutRole = {
  answer: (role: Role) => ({ role: toMessage(role) }),
  subject: ({ name }: Role): string => name,
};

/** Who has which role concerns the user. */
const aboutUser = {
  answer: ({ userId, roles }: UserRoles) => ({ userId, roles: [...roles] }),
  subject: ({ userId }: UserRoles): string => userId,
};

function toMessage(role: Role): MessageInitShape<typeof RoleSchema> {
  return {
    name: role.name,
    description: role.description,
    permissions: [...role.permissions],
    builtIn: role.isBuiltIn,
  };
}
