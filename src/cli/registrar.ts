import type { User } from "../users/user.ts";

/** What became of one user. */
export type Outcome =
  | { readonly kind: "added" }
  /** One user held both the email and the username already. */
  | { readonly kind: "present" }
  | { readonly kind: "refused"; readonly reason: string };

/** A way to register users. */
export interface Registrar {
  /** For people: where the users go. */
  readonly description: string;
  /**
   * Registers users, each on its own merits, the first of two that collide before the second.
   *
   * Gives one outcome a user, in the order given, each as soon as it is committed. When it throws, the users
   * whose outcome was given are done, and of the others any may be.
   */
  register(users: readonly User[]): AsyncIterable<Outcome>;
  close(): Promise<void>;
}
