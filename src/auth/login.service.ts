import { runDetached } from "../platform/current-work.ts";
import type { Logger } from "../platform/logger.ts";
import type { AccountService } from "../users/account.service.ts";
import type { Account, LoginSubject } from "../users/account.ts";
import { UserNotFoundError } from "../users/user.errors.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import { BadLoginError } from "./login.errors.ts";
import type { LoginAttempt, LoginThrottle } from "./login-throttle.ts";
import type { PasswordCheck, PasswordHasher } from "./password-hasher.ts";
import type { TokenPair } from "./token-pair.ts";

/** Trades passwords for tokens. */
export interface LoginService {
  /**
   * Logs in. An account that does not exist, one that is not active, one without a password and a wrong password
   * all fail with the same error, after the same work.
   *
   * @param caller of the write that a good login is; its record is kept with the tokens
   * @throws BadLoginError; LoginSlowedError after several failures; PasswordsBusyError; the signal's reason
   */
  authenticate(
    login: { readonly email: string; readonly password: string },
    origin: { readonly address: string },
    signal?: AbortSignal,
    caller?: WriteCaller<TokenPair>,
  ): Promise<TokenPair>;
}

/** What the service is made of. */
export interface LoginServiceDependencies {
  readonly accounts: Pick<AccountService, "findLogin" | "replacePasswordHash">;
  readonly hasher: PasswordHasher;
  readonly throttle: LoginThrottle;
  /** Issues the tokens of an account as it is given: with the epoch that it has here. */
  readonly issue: (account: Account, caller?: WriteCaller<TokenPair>) => Promise<TokenPair>;
  readonly logger: Logger;
}

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createLoginService(dependencies: LoginServiceDependencies): LoginService {
  const { accounts, hasher, throttle, issue, logger } = dependencies;

  async function check(
    { email, password }: { readonly email: string; readonly password: string },
    attempt: LoginAttempt,
    signal: AbortSignal | undefined,
  ): Promise<{ subject: LoginSubject | undefined; found: PasswordCheck }> {
    try {
      const subject = await accounts.findLogin(email, signal);
      return { subject, found: await hasher.verify(subject?.passwordHash, password, signal) };
    } catch (error) {
      // Nobody has learnt anything about the password: once it is being compared, its caller's leaving changes nothing.
      await attempt.withdraw().catch(() => {});
      throw error;
    }
  }

  /** The login is good either way: the next one tries again. */
  async function strengthen({ account, passwordHash }: LoginSubject, password: string): Promise<void> {
    try {
      const next = await hasher.hash(password);
      await accounts.replacePasswordHash(account.id, passwordHash ?? "", next);
    } catch (error) {
      logger.warn({ err: error }, "a password could not be hashed anew");
    }
  }

  return {
    async authenticate(login, { address }, signal, caller) {
      signal?.throwIfAborted();
      const attempt = await throttle.begin(login.email, address);
      const { subject, found } = await check(login, attempt, signal);
      if (subject === undefined || !found.isMatch || !subject.account.isActive) {
        throw new BadLoginError();
      }
      await attempt.succeed();
      // The account as it was when its password was compared: where the password has changed since, the tokens are
      // of an epoch that is over.
      const [tokens] = await Promise.all([
        issue(subject.account, caller).catch(throwTranslated),
        found.needsRehash ? runDetached(() => strengthen(subject, login.password)) : undefined,
      ]);
      return tokens;
    },
  };
}

/** An account that was deleted since its password was compared is one that does not exist. */
function throwTranslated(error: unknown): never {
  throw error instanceof UserNotFoundError ? new BadLoginError() : error;
}
