import { DomainError } from "../platform/errors.ts";

/** No user has the id, email or username that was asked for. */
export class UserNotFoundError extends DomainError {
  override readonly name = "UserNotFoundError";
  readonly kind = "not_found";
  readonly reason = "USER_NOT_FOUND";

  constructor() {
    super("no such user");
  }
}

/** Another user has this email. */
export class EmailTakenError extends DomainError {
  override readonly name = "EmailTakenError";
  readonly kind = "already_exists";
  readonly reason = "EMAIL_TAKEN";

  constructor() {
    super("another user has this email");
  }
}

/** Another user has this username. */
export class UsernameTakenError extends DomainError {
  override readonly name = "UsernameTakenError";
  readonly kind = "already_exists";
  readonly reason = "USERNAME_TAKEN";

  constructor() {
    super("another user has this username");
  }
}

/** The text given as a page token is none. */
export class InvalidPageTokenError extends DomainError {
  override readonly name = "InvalidPageTokenError";
  readonly kind = "invalid_argument";
  readonly reason = "PAGE_TOKEN_INVALID";
  override readonly violations = [
    { field: "page_token", description: "is not a page token of this service", reason: "page_token" },
  ];

  constructor() {
    super("page_token is not a page token of this service; give back next_page_token exactly as it came");
  }
}
