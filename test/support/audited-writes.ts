import { create, type DescMessage, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { AccessService } from "../../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { UserService as ProfileService } from "../../gen/user/user_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { procedureOf } from "../../src/platform/policy.ts";

/** A call that writes, made ready: what it needs is there. */
export interface ReadyWrite {
  readonly request: object;
  /** Whom or what it is done to; undefined where only the answer says. */
  readonly subject: string | undefined;
  /** A field of the answer that is the subject. */
  readonly subjectField?: (answer: Record<string, unknown>) => unknown;
  /** What must not be found in any record of it. */
  readonly secrets?: readonly string[];
}

type Prepare = (transport: Transport, secrets: string[]) => Promise<ReadyWrite>;

let made = 0;
const name = (): string => `person_${++made}x`;
const password = (): string => `secret password ${crypto.randomUUID()}`;

async function addUser(transport: Transport): Promise<string> {
  const username = name();
  const users = createClient(UserService, transport);
  return (await users.registerUser({ username, email: `${username}@example.com` })).id;
}

async function addAccount(transport: Transport) {
  const account = { email: `${name()}@example.com`, password: password() };
  const { id } = await createClient(AuthService, transport).createUser({ ...account, isActive: true });
  return { ...account, id };
}

async function addRole(transport: Transport): Promise<string> {
  const role = `role-${++made}`;
  await createClient(AccessService, transport).createRole({ name: role, permissions: ["posts:write"] });
  return role;
}

async function addHolder(transport: Transport) {
  const [userId, role] = [await addUser(transport), await addRole(transport)];
  await createClient(AccessService, transport).assignRole({ userId, role });
  return { userId, role };
}

async function addKey(transport: Transport, secrets: string[]): Promise<string> {
  const { apiKey, secret } = await createClient(ApiKeyService, transport).createApiKey({ name: "to change" });
  secrets.push(secret);
  return apiKey?.id ?? "";
}

function write<Input extends DescMessage>(
  method: DescMethod & { readonly input: Input },
  prepare: (
    transport: Transport,
    secrets: string[],
  ) => Promise<Omit<ReadyWrite, "request"> & { readonly request: MessageInitShape<Input> }>,
): [string, Prepare] {
  return [
    procedureOf(method),
    async (transport, secrets) => {
      const ready = await prepare(transport, secrets);
      return { ...ready, request: create(method.input, ready.request) };
    },
  ];
}

const byId = { subject: undefined, subjectField: (answer: Record<string, unknown>) => answer["id"] };
const byKeyId = {
  subject: undefined,
  subjectField: (answer: Record<string, unknown>) => (answer["apiKey"] as { id: string }).id,
};

const users = UserService.method;
const auth = AuthService.method;
const access = AccessService.method;
const profiles = ProfileService.method;
const keys = ApiKeyService.method;

/** How each RPC that writes is made ready and called, by its procedure. */
export const auditedWrites: ReadonlyMap<string, Prepare> = new Map([
  write(users.registerUser, async () => {
    const username = name();
    return { request: { username, email: `${username}@example.com` }, ...byId };
  }),
  write(users.updateUser, async (transport) => {
    const id = await addUser(transport);
    return { request: { user: { id: id.toUpperCase(), username: name() } }, subject: id };
  }),
  write(users.activateUser, async (transport) => {
    const id = await addUser(transport);
    await createClient(UserService, transport).deactivateUser({ id });
    return { request: { id }, subject: id };
  }),
  write(users.deactivateUser, async (transport) => {
    const id = await addUser(transport);
    return { request: { id }, subject: id };
  }),
  write(users.deleteUser, async (transport) => {
    const id = await addUser(transport);
    return { request: { id: id.toUpperCase() }, subject: id };
  }),
  write(auth.authenticate, async (transport) => {
    const { id, email, password: text } = await addAccount(transport);
    return { request: { email, password: text }, subject: id, secrets: [text] };
  }),
  write(auth.refreshToken, async (transport, secrets) => {
    const { id, email, password: text } = await addAccount(transport);
    const { refreshToken } = await createClient(AuthService, transport).authenticate({
      email,
      password: text,
    });
    secrets.push(text, refreshToken);
    return { request: { refreshToken }, subject: id, secrets: [refreshToken] };
  }),
  write(auth.createUser, async () => {
    const text = password();
    return { request: { email: `${name()}@example.com`, password: text }, secrets: [text], ...byId };
  }),
  write(auth.updateUser, async (transport) => {
    const { id, password: text } = await addAccount(transport);
    const next = password();
    return {
      request: { userId: id.toUpperCase(), password: next, fullName: "Ada" },
      subject: id,
      secrets: [text, next],
    };
  }),
  write(auth.deleteUser, async (transport) => {
    const { id } = await addAccount(transport);
    return { request: { userId: id.toUpperCase() }, subject: id };
  }),
  write(access.createRole, async () => {
    const role = `role-${++made}`;
    return { request: { name: role, permissions: ["posts:write"] }, subject: role };
  }),
  write(access.deleteRole, async (transport) => {
    const { role } = await addHolder(transport);
    return { request: { name: role }, subject: role };
  }),
  write(access.grantPermission, async (transport) => {
    const role = await addRole(transport);
    return { request: { role, permission: "users:read" }, subject: role };
  }),
  write(access.revokePermission, async (transport) => {
    const role = await addRole(transport);
    return { request: { role, permission: "posts:write" }, subject: role };
  }),
  write(access.assignRole, async (transport) => {
    const [userId, role] = [await addUser(transport), await addRole(transport)];
    return { request: { userId: userId.toUpperCase(), role }, subject: userId };
  }),
  write(access.unassignRole, async (transport) => {
    const { userId, role } = await addHolder(transport);
    return { request: { userId, role }, subject: userId };
  }),
  write(profiles.updateUserProfile, async (transport) => {
    const userId = await addUser(transport);
    return { request: { userId: userId.toUpperCase(), bio: "Counts." }, subject: userId };
  }),
  write(profiles.updateUserPreferences, async (transport) => {
    const userId = await addUser(transport);
    return { request: { userId: userId.toUpperCase(), theme: "dark" }, subject: userId };
  }),
  write(profiles.recordUserActivity, async (transport) => {
    const userId = await addUser(transport);
    return { request: { userId: userId.toUpperCase(), activityType: "login" }, subject: userId };
  }),
  write(keys.createApiKey, async () => ({ request: { name: "new", scopes: ["users:read"] }, ...byKeyId })),
  write(keys.revokeApiKey, async (transport, secrets) => {
    const id = await addKey(transport, secrets);
    return { request: { id }, subject: id };
  }),
  write(keys.rotateApiKey, async (transport, secrets) => {
    const id = await addKey(transport, secrets);
    return { request: { id }, subject: id };
  }),
]);
