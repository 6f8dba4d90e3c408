/** How failures of one kind slow down what comes behind them. */
export interface LoginRule {
  /** Failures in a row that slow nothing down. */
  readonly free: number;
  /** The wait behind the last free failure; it doubles with each further one. */
  readonly shortestMs: number;
  readonly longestMs: number;
  /** How long after the last failure they are all forgotten. At least the longest wait. */
  readonly memoryMs: number;
}

/** The rules, by what the failures have in common. */
export interface LoginRules {
  readonly accountAtAddress: LoginRule;
  readonly address: LoginRule;
  readonly account: LoginRule;
  /** How long an account remembers an address after the last login from there. */
  readonly knownAddressMs: number;
  /** How many addresses an account remembers. */
  readonly maxKnownAddresses: number;
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/**
 * The numbers are ours, within the bound that OWASP sets (ASVS 4.0.3, 2.2.1): at most 100 failed attempts an hour on
 * an account. From all addresses that it does not know, it sees at most 55 in any hour (20 free, 7 while the wait
 * grows to two minutes, 28 more); from each that it knows, at most 17.
 */
export const defaultLoginRules: LoginRules = {
  // A person who tries the passwords that come to mind, and then waits for no longer than it takes to find it.
  accountAtAddress: { free: 5, shortestMs: secondMs, longestMs: 15 * minuteMs, memoryMs: dayMs },
  // Many people may share an address, and each may fail now and then.
  address: { free: 50, shortestMs: secondMs, longestMs: minuteMs, memoryMs: hourMs },
  // Many addresses: guesses that are shared out.
  account: { free: 20, shortestMs: secondMs, longestMs: 2 * minuteMs, memoryMs: hourMs },
  knownAddressMs: 90 * dayMs,
  maxKnownAddresses: 20,
};
