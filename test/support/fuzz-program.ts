import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { UserEventsRequest_Start, UserService } from "../../gen/users/v1/users_pb.ts";
import type { TlsConfig } from "../../src/platform/config.ts";
import type { FuzzKnowledge } from "./fuzz-call.ts";

/** A client that behaves, on a connection that it keeps. */
export interface HealthyClient {
  /** Fails unless calls succeed within seconds: of a stranger, and every fifth time of somebody who reads and writes. */
  check(): Promise<void>;
  close(): void;
}

/** A caller's own deadline, far beyond what a call takes. */
const timeoutMs = 10_000;

/** Connects to a program. @param headers those of a caller who may everything; undefined: only what is public is called */
export function openHealthyClient(
  url: string,
  headers: Readonly<Record<string, string>> | undefined,
): HealthyClient {
  const { transport, close } = openTransport(url);
  const health = createClient(Health, transport);
  const users = createClient(UserService, transport);
  let checks = 0;
  return {
    async check() {
      assert.equal((await health.check({}, { timeoutMs })).status, Status.SERVING);
      if (headers === undefined || checks++ % 5 !== 0) return;
      const { id } = await register(users, headers);
      assert.equal((await users.getUser({ id }, { headers, timeoutMs })).user?.id, id);
    },
    close,
  };
}

function openTransport(baseUrl: string): { transport: Transport; close: () => void } {
  const sessionManager = new Http2SessionManager(baseUrl, {}, { rejectUnauthorized: false });
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager }),
    close: () => sessionManager.abort(),
  };
}

const scopes = [
  "users:read",
  "users:write",
  "users:delete",
  "events:read",
  "profiles:read",
  "profiles:write",
];

/**
 * Makes what the calls are to be about, and gathers what a caller may know of it: ids, names, cursors and credentials.
 * Nothing of it belongs to the caller who checks the program's health.
 *
 * @param headers those of a caller who may everything
 * @param powerless an access token of somebody without any permission
 */
export async function gatherKnowledge(
  url: string,
  headers: Readonly<Record<string, string>>,
  powerless: string,
): Promise<FuzzKnowledge> {
  const { transport, close } = openTransport(url);
  const users = createClient(UserService, transport);
  const auth = createClient(AuthService, transport);
  const keys = createClient(ApiKeyService, transport);
  const options = { headers, timeoutMs };
  const victims = [await register(users, headers), await register(users, headers)];
  const account = { email: "login.victim@example.com", password: "correct horse battery" };
  const { id } = await auth.createUser({ ...account, fullName: "Victim", isActive: true }, options);
  const login = await auth.authenticate(account, { timeoutMs });
  const key = await keys.createApiKey({ name: "fuzz", scopes }, options);
  const weakKey = await keys.createApiKey({ name: "weak", scopes: [] }, options);
  const { nextPageToken } = await users.listUsers({ pageSize: 1 }, options);
  const cursor = await readCursor(users, headers);
  close();
  const token = headers["authorization"]?.replace("Bearer ", "") ?? "";
  return {
    vocabulary: {
      id: [...victims.map((user) => user.id), id],
      email: [...victims.map((user) => user.email), account.email],
      username: victims.map((user) => user.username),
      password: [account.password],
      after_cursor: [cursor],
      page_token: [nextPageToken],
      token: [login.accessToken, login.refreshToken],
      refresh_token: [login.refreshToken],
      role: ["user", "admin"],
      query: ["victim", "a b"],
      api_key: [key.secret, weakKey.secret, "startup-readiness-check"],
    },
    credentials: { allowed: [token, key.secret], powerless: [powerless, weakKey.secret] },
  };
}

async function register(users: Client<typeof UserService>, headers: Readonly<Record<string, string>>) {
  const suffix = crypto.randomUUID().slice(-12);
  const user = { email: `w.${suffix}@example.com`, username: `w${suffix}` };
  return users.registerUser(user, { headers, timeoutMs });
}

async function readCursor(
  users: Client<typeof UserService>,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const request = { start: UserEventsRequest_Start.EARLIEST };
  for await (const { cursor } of users.streamUserEvents(request, { headers, timeoutMs })) return cursor;
  throw new Error("there is no event");
}

/** A certificate for the loopback address, for the time of a test. */
export async function createTlsFiles(onEnd: (cleanUp: () => Promise<void>) => void): Promise<TlsConfig> {
  const directory = await mkdtemp(join(tmpdir(), "user-bridge-fuzz-"));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const { cert, private: key } = await generate([{ name: "commonName", value: "fuzz" }], {
    extensions: [{ name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }],
  });
  const [certPath, keyPath] = [join(directory, "server.crt"), join(directory, "server.key")];
  await Promise.all([writeFile(certPath, cert), writeFile(keyPath, key)]);
  return { certPath, keyPath, clientSpkiPins: [], clientAuth: "off" };
}
