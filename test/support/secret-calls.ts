import { randomBytes, randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { InternalAuthService } from "../../gen/ingestion/internal_auth_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { mintApiKey } from "../../src/api-keys/api-key-text.ts";
import { withFields } from "./callers.ts";
import type { TestAccount, TestApiKey } from "./credentials.ts";
import { withDeadline } from "./with-deadline.ts";

/** Who calls. */
export interface SecretHolders {
  readonly superuser: TestAccount;
  readonly user: TestAccount;
  readonly apiKey: TestApiKey;
}

/** Secrets that a server has been told, or has told. */
export class Secrets {
  readonly all = new Set<string>();

  /** Takes a secret down. @returns it */
  know(secret: string): string {
    this.all.add(secret);
    return secret;
  }

  /** Makes one up. */
  plant(): string {
    return this.know(`Planted-${randomUUID()}`);
  }
}

/**
 * Calls every RPC that takes or gives a secret: with good ones and with bad ones, and with good ones in wrong places.
 *
 * @param accessToken to use where the server gives none
 * @returns what the calls that should end well were answered with; undefined where they were not
 */
export async function callWithSecrets(
  { url, internalUrl = "" }: { readonly url: string; readonly internalUrl: string | undefined },
  { superuser, user, apiKey }: SecretHolders,
  secrets: Secrets,
  accessToken?: string,
) {
  const open = (fields = {}, baseUrl = url) =>
    withFields(createConnectTransport({ baseUrl, httpVersion: "1.1" }), fields);
  const email = `${randomUUID()}@example.com`;
  const auth = createClient(AuthService, open());
  const tokens = await attempt(auth.authenticate({ email: superuser.email, password: superuser.password }));
  if (tokens) [tokens.accessToken, tokens.refreshToken].map((token) => secrets.know(token));
  await attempt(auth.authenticate({ email: user.email, password: secrets.plant() }));
  await attempt(auth.authenticate({ email: secrets.plant(), password: secrets.plant() }));
  for (const token of [tokens?.accessToken ?? "", secrets.plant()])
    await attempt(auth.validateToken({ token }));
  const refreshed = await attempt(
    auth.refreshToken({ refreshToken: tokens?.refreshToken ?? secrets.plant() }),
  );
  if (refreshed) [refreshed.accessToken, refreshed.refreshToken].map((token) => secrets.know(token));
  const unknown = `ubr_${randomBytes(32).toString("base64url")}`;
  for (const refreshToken of [tokens?.refreshToken ?? secrets.plant(), secrets.know(unknown)]) {
    await attempt(auth.refreshToken({ refreshToken }));
  }

  const token = refreshed?.accessToken ?? accessToken ?? secrets.plant();
  const authorization = `Bearer ${token}`;
  const once = () => createClient(AuthService, open({ authorization, "idempotency-key": secrets.plant() }));
  const account = { email, isActive: true };
  const created = await attempt(once().createUser({ ...account, password: secrets.plant() }));
  await attempt(once().createUser({ ...account, password: secrets.plant() }));
  await attempt(once().updateUser({ userId: created?.id ?? superuser.id, password: secrets.plant() }));
  const keys = createClient(ApiKeyService, open({ authorization }));
  const made = await attempt(keys.createApiKey({ name: "made", scopes: ["users:read"] }));
  if (made) secrets.know(made.secret);
  const rotated = await attempt(keys.rotateApiKey({ id: made?.apiKey?.id ?? apiKey.id }));
  if (rotated) secrets.know(rotated.secret);

  const internal = createClient(InternalAuthService, open({}, internalUrl));
  for (const secret of [
    apiKey.secret,
    made?.secret ?? "",
    secrets.know(mintApiKey().secret),
    secrets.plant(),
  ]) {
    await attempt(internal.validateApiKey({ apiKey: secret }));
    for (const name of ["x-api-key", "x-junjo-api-key", "authorization", "cookie"]) {
      const fields = { [name]: name === "authorization" ? `Bearer ${secret}` : secret };
      await attempt(createClient(UserService, open(fields)).listUsers({}));
    }
  }
  for (const id of [apiKey.secret, token]) {
    await attempt(createClient(UserService, open({ "x-request-id": id })).listUsers({}));
  }
  const planted = secrets.plant();
  for (const body of [`{"password":{"x":"${planted}"}}`, `{"password":"${planted}`, `"${planted}"`]) {
    for (const method of ["CreateUser", "Authenticate", "RefreshToken", "ValidateToken"]) {
      const headers = { "content-type": "application/json", authorization };
      await attempt(fetch(`${url}/auth.AuthService/${method}`, { method: "POST", headers, body }));
    }
  }
  return { tokens, refreshed, created, made, rotated };
}

/** The answer, or undefined where it fails, whatever with. */
async function attempt<T>(call: Promise<T>): Promise<T | undefined> {
  const [ending] = await withDeadline("an answer", Promise.allSettled([call]));
  return ending.status === "fulfilled" ? ending.value : undefined;
}
