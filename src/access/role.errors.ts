import { DomainError } from "../platform/errors.ts";

/** There is no role of that name. */
export class RoleNotFoundError extends DomainError {
  override readonly name = "RoleNotFoundError";
  readonly kind = "not_found";
  readonly reason = "ROLE_NOT_FOUND";

  constructor() {
    super("no such role");
  }
}

/** There is a role of that name already. */
export class RoleExistsError extends DomainError {
  override readonly name = "RoleExistsError";
  readonly kind = "already_exists";
  readonly reason = "ROLE_EXISTS";

  constructor() {
    super("there is a role of this name");
  }
}

/** A built-in role stays, and so does what it permits from the start. */
export class RoleBuiltInError extends DomainError {
  override readonly name = "RoleBuiltInError";
  readonly kind = "failed_precondition";
  readonly reason = "ROLE_BUILT_IN";

  constructor() {
    super("the role is built in: it and what it permits from the start cannot be removed");
  }
}

/** Who has a built-in role follows from the account; nobody is given or denied it. */
export class RoleImpliedError extends DomainError {
  override readonly name = "RoleImpliedError";
  readonly kind = "failed_precondition";
  readonly reason = "ROLE_IMPLIED";

  constructor() {
    super("everybody has the role user, and every superuser the role admin: they are not assigned");
  }
}
