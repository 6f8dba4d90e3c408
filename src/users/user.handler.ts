import type { ServiceImpl } from "@connectrpc/connect";
import type {
  GetUserRequest,
  UpdateUserRequest,
  UserService as UserServiceDesc,
} from "../../gen/users/v1/users_pb.ts";
import { toUserMessage } from "../events/user-snapshot.ts";
import { callerOf } from "../lane/caller.ts";
import { InvalidInputError, throwWithin } from "../platform/errors.ts";
import type { UserChange } from "./account.ts";
import type { UserKey } from "./user.repository.ts";
import type { UserService } from "./user.service.ts";

type UserServiceImpl = ServiceImpl<typeof UserServiceDesc>;

/**
 * Creates the implementation of users.v1.UserService over the service and the event stream's handler.
 * Requests have passed the rules of the .proto file when they arrive here.
 */
export function createUserHandler(
  users: UserService,
  streamUserEvents: UserServiceImpl["streamUserEvents"],
): UserServiceImpl {
  return {
    async registerUser({ email, username }, context) {
      const user = await users.register({ email, username }, callerOf(context));
      return { id: user.id, email: user.email, username: user.username, status: "active" };
    },
    getUser: async (request, context) => ({
      user: toUserMessage(await users.get(toUserKey(request), callerOf(context))),
    }),
    batchGetUsers: async ({ ids }, { signal }) => ({
      users: (await users.batchGet(ids, signal)).map(toUserMessage),
    }),
    async listUsers({ pageSize, pageToken }, { signal }) {
      const page = await users.list({ size: pageSize, token: pageToken }, signal);
      return { users: page.users.map(toUserMessage), nextPageToken: page.nextToken };
    },
    async updateUser(request, context) {
      const change = toUserChange(request);
      const updating = users.update(request.user?.id ?? "", change, callerOf(context));
      return { user: toUserMessage(await updating.catch((error) => throwWithin("user", error))) };
    },
    activateUser: async ({ id }, context) => ({
      user: toUserMessage(await users.setActive(id, true, callerOf(context))),
    }),
    deactivateUser: async ({ id }, context) => ({
      user: toUserMessage(await users.setActive(id, false, callerOf(context))),
    }),
    async deleteUser({ id }, context) {
      await users.delete(id, callerOf(context));
      return {};
    },
    streamUserEvents,
  };
}

function toUserKey(request: GetUserRequest): UserKey {
  if (request.id !== "") return { column: "id", value: request.id };
  return request.email !== ""
    ? { column: "email", value: request.email }
    : { column: "username", value: request.username };
}

/** What the mask names; without a mask, what is not empty (google.aip.dev/134). */
function toUserChange({ user, updateMask }: UpdateUserRequest): UserChange {
  const { email = "", username = "" } = user ?? {};
  const paths = updateMask?.paths ?? [];
  const named = new Set(
    paths.length > 0 ? paths : [...(email === "" ? [] : ["email"]), ...(username === "" ? [] : ["username"])],
  );
  if (named.size === 0) {
    throw new InvalidInputError([
      { field: "update_mask", description: "must name email or username, or user must set one of them" },
    ]);
  }
  return {
    email: named.has("email") ? email : undefined,
    username: named.has("username") ? username : undefined,
  };
}
