/** A stretch of a list. */
export interface Page {
  readonly limit: number;
  readonly offset: number;
}

const defaultLimit = 50;
const maxLimit = 1_000;
const maxInt32 = 2 ** 31 - 1;

/** The page that is meant: a limit of 0 is 50, and there is never more than 1,000 on one. */
export function toPage({ limit, offset }: Page): Page {
  return { limit: limit === 0 ? defaultLimit : Math.min(limit, maxLimit), offset };
}

/** A total as the contract's int32 can hold it. */
export function capTotal(total: number): number {
  return Math.min(total, maxInt32);
}
