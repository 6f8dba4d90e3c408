import type { DescMethod, DescService, Message, MessageShape } from "@bufbuild/protobuf";
import type { PrincipalUser } from "./principal.ts";

/** Who may call an RPC. */
export type AccessRule<Request = Message> = PublicRule | AuthenticatedRule | PermissionRule<Request>;

/** Anybody may, and no credential is looked at. */
export interface PublicRule {
  readonly kind: "public";
}

/** Whoever has a good credential may. */
export interface AuthenticatedRule {
  readonly kind: "authenticated";
}

/** Whoever holds the permission may. */
export interface PermissionRule<Request = Message> {
  readonly kind: "permission";
  readonly permission: string;
  /** Users may do it to themselves without the permission: whom a request is about. */
  readonly self?: (request: Request) => About;
}

/** Whom a request is about: the user with one of these names. Empty or absent: it does not say. */
export interface About {
  readonly id?: string;
  readonly email?: string;
  readonly username?: string;
}

/** A rule for each RPC of a service: one that is left out does not compile. */
export type ServicePolicy<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: AccessRule<MessageShape<Service["method"][Name]["input"]>>;
};

/** The rules of all RPCs, by the names of the RPCs ({@link procedureOf}). What is not in it, nobody may call. */
export type Policy = ReadonlyMap<string, AccessRule>;

/** How the policy and the audit log call an RPC, e.g. `users.v1.UserService/GetUser`. */
export function procedureOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Whether a user is the one whom a request is about. */
export function isAbout(user: PrincipalUser, { id = "", email = "", username = "" }: About): boolean {
  if (id !== "") return id.toLowerCase() === user.id;
  if (email !== "") return email.toLowerCase() === user.email;
  return username !== "" && username.toLowerCase() === user.username;
}
