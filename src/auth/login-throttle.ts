import { runDetached } from "../platform/current-work.ts";
import type { Database } from "../schema.ts";
import { LoginSlowedError } from "./login.errors.ts";
import * as repository from "./login.repository.ts";
import { makeLoginKeys } from "./login-keys.ts";
import { defaultLoginRules, type LoginRules } from "./login-rules.ts";

/** An attempt that counts as failed until it is said to be something else. */
export interface LoginAttempt {
  /**
   * The password was right: the attempt counts no more, what failed before at this account from this address is
   * forgotten, and the account knows the address from now on.
   */
  succeed(): Promise<void>;
  /** The password was never looked at: the attempt counts no more. */
  withdraw(): Promise<void>;
}

/** Slows logins down that fail, over all processes on one database. */
export interface LoginThrottle {
  /**
   * Counts an attempt before its password is looked at, so that a thousand at once are no more than one after the
   * other. Whether the account exists makes no difference.
   *
   * @param email the account's, as its caller has typed it
   * @param address of the caller
   * @throws LoginSlowedError with how long to wait, where the attempt comes too early; it is not counted
   */
  begin(email: string, address: string): Promise<LoginAttempt>;
}

/** What a throttle is made of. */
export interface LoginThrottleDependencies {
  readonly database: Database;
  readonly now: () => Date;
  /** See {@link makeLoginKeys}. To change it forgets all counts and addresses. */
  readonly secret?: Uint8Array;
  readonly rules?: LoginRules;
}

const noSecret = new Uint8Array();

/** Creates a throttle. Failures of the database pass through as they are. */
export function createLoginThrottle(dependencies: LoginThrottleDependencies): LoginThrottle {
  const { database, now, secret = noSecret, rules = defaultLoginRules } = dependencies;
  return {
    async begin(email, address) {
      const keys = makeLoginKeys(email, address, secret);
      const nowMs = now().getTime();
      const outcome = await repository.beginAttempt(database, keys, rules, nowMs);
      if (outcome.kind === "refused") {
        throw new LoginSlowedError(outcome.untilMs - nowMs);
      }
      return {
        // Whether its caller still waits: the attempt would count as one that failed.
        succeed: () =>
          runDetached(async () => {
            await repository.takeBackAttempt(database, outcome.rows, keys.accountAtAddress);
            if (await repository.rememberAddress(database, keys, now().getTime())) {
              await repository.forgetAddressesBeyond(database, keys, rules.maxKnownAddresses);
            }
          }),
        withdraw: () => runDetached(() => repository.takeBackAttempt(database, outcome.rows)),
      };
    },
  };
}
