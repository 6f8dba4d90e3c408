/** How somebody has shown who they are. */
export type PrincipalKind = "anonymous" | "user" | "api_key" | "certificate" | "command";

/** Somebody who calls. */
export interface Principal {
  readonly kind: PrincipalKind;
  /** For the audit log, and unique: `user:ID`, `key:ID`, `certificate:NAME`, `command:NAME`, `anonymous`. */
  readonly actor: string;
  /** With which credential, in a form that is no secret; empty: none. */
  readonly credential: string;
  /** The account, for a user: whom "oneself" means. */
  readonly user: PrincipalUser | undefined;
  /** Whether they may do what needs this permission. */
  permits(permission: string): boolean;
  /** Whether they may do everything, so that nobody needs to look up what something takes. */
  readonly permitsAll?: boolean;
}

/** The account behind a principal. Names are in their normal form; the username is empty until one is set. */
export interface PrincipalUser {
  readonly id: string;
  readonly email: string;
  readonly username: string;
}

/** Whoever calls a public RPC: may do nothing else. */
export const anonymous: Principal = {
  kind: "anonymous",
  actor: "anonymous",
  credential: "",
  user: undefined,
  permits: () => false,
};

/** Whoever calls where nobody is asked (AUTH=off): may do everything. */
export const unasked: Principal = { ...anonymous, permits: () => true, permitsAll: true };

/** Somebody at the command line, who has the database itself. */
export function commandPrincipal(name: string): Principal {
  return { ...unasked, kind: "command", actor: `command:${name}` };
}
