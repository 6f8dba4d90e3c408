import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { hash } from "@node-rs/argon2";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import type { PasswordConfig } from "../../src/platform/config.ts";
import { readConfig } from "../../src/platform/read-config.ts";
import { withDatabase } from "./database.ts";

/** A seeded user who can log in. */
export interface BenchAccount {
  readonly id: string;
  readonly email: string;
}

/** The password of all accounts. */
export const accountPassword = "correct horse battery staple";

/** What a password's hash costs unless the service is told otherwise: OWASP's parameters. */
export const passwordCost: PasswordConfig = readConfig({}, "command").passwords;

/** A hash of the password that the service has no reason to replace. */
export async function hashAccountPassword(): Promise<string> {
  const { memoryKib, iterations, parallelism } = passwordCost;
  return hash(accountPassword, { memoryCost: memoryKib, timeCost: iterations, parallelism });
}

/** Gives user-1 to user-N of a seeded database the password. All share its hash: each comparison is as much work. */
export async function setPasswords(
  databaseUrl: string,
  count: number,
  passwordHash: string,
): Promise<readonly BenchAccount[]> {
  return withDatabase(databaseUrl, async (client) => {
    const { rows } = await client.query<BenchAccount>(setPasswordsStatement, [passwordHash, count]);
    return rows;
  });
}

const setPasswordsStatement = `
  with chosen as (
    select id, email from users
    where email = any (array(select 'user-' || n || '@example.com' from generate_series(1, $2::int) as n))
  ), changed as (
    insert into user_passwords (user_id, hash, changed_at) select id, $1, now() from chosen
    on conflict (user_id) do update set hash = excluded.hash
  )
  select id, email from chosen order by id`;

/** Logs all accounts in, one after another, and returns their access tokens in the same order. */
export async function logIn(address: string, accounts: readonly BenchAccount[]): Promise<readonly string[]> {
  const client = createClient(AuthService, createGrpcTransport({ baseUrl: `http://${address}` }));
  const tokens: string[] = [];
  for (const { email } of accounts) {
    const { accessToken } = await client.authenticate({ email, password: accountPassword });
    tokens.push(accessToken);
  }
  return tokens;
}
