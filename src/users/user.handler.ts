import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  GetUserRequest,
  UpdateUserRequest,
  UserService as UserServiceDesc,
} from "../../gen/users/v1/users_pb.ts";
import { toUserMessage } from "../events/user-snapshot.ts";
import { callerOf } from "../lane/caller.ts";
import type { AccountGuard } from "../platform/account-guard.ts";
import type { CallerState } from "../platform/batcher.ts";
import { callScope } from "../platform/call-scope.ts";
import { InvalidInputError, throwWithin } from "../platform/errors.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import type { UserChange } from "./account.ts";
import type { UserKey } from "./user.repository.ts";
import type { UserService } from "./user.service.ts";
import type { User } from "./user.ts";

type UserServiceImpl = ServiceImpl<typeof UserServiceDesc>;

/**
 * Creates the implementation of users.v1.UserService over the service and the event stream's handler.
 * Requests have passed the rules of the .proto file when they arrive here.
 */
export function createUserHandler(
  users: UserService,
  streamUserEvents: UserServiceImpl["streamUserEvents"],
  answerWrite: AnswerWrite,
  accountGuard: AccountGuard,
): UserServiceImpl {
  const assertMayChange = (id: string, { values }: HandlerContext, caller: CallerState): Promise<void> =>
    accountGuard.assertMayChange(values.get(callScope).principal, id, caller);

  return {
    registerUser: (request, context) =>
      answerWrite(context, request, {
        write: (caller) => users.register({ email: request.email, username: request.username }, caller),
        answer: ({ id, email, username }) => ({ id, email, username, status: "active" }),
        subject: idOf,
      }),
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
    updateUser(request, context) {
      const id = request.user?.id ?? "";
      return answerWrite(context, request, {
        async write(caller: WriteCaller<User>) {
          await assertMayChange(id, context, caller);
          return users.update(id, toUserChange(request), caller).catch((error) => throwWithin("user", error));
        },
        answer: toAnswer,
        subject: idOf,
      });
    },
    activateUser: (request, context) =>
      answerWrite(context, request, {
        async write(caller: WriteCaller<User>) {
          await assertMayChange(request.id, context, caller);
          return users.setActive(request.id, true, caller);
        },
        answer: toAnswer,
        subject: idOf,
      }),
    deactivateUser: (request, context) =>
      answerWrite(context, request, {
        async write(caller: WriteCaller<User>) {
          await assertMayChange(request.id, context, caller);
          return users.setActive(request.id, false, caller);
        },
        answer: toAnswer,
        subject: idOf,
      }),
    deleteUser: (request, context) =>
      answerWrite(context, request, {
        async write(caller: WriteCaller<void>) {
          await assertMayChange(request.id, context, caller);
          await users.delete(request.id, caller);
        },
        answer: () => ({}),
        subject: () => request.id.toLowerCase(),
      }),
    streamUserEvents,
  };
}

const idOf = ({ id }: User): string => id;

const toAnswer = (user: User) => ({ user: toUserMessage(user) });

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
