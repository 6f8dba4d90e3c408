import { DomainError } from "../platform/errors.ts";

/** There is no API key with that id. */
export class ApiKeyNotFoundError extends DomainError {
  override readonly name = "ApiKeyNotFoundError";
  readonly kind = "not_found";
  readonly reason = "API_KEY_NOT_FOUND";

  constructor() {
    super("no such API key");
  }
}

/** The key is revoked, has expired, or has been rotated: nothing takes its place any more. */
export class ApiKeyEndedError extends DomainError {
  override readonly name = "ApiKeyEndedError";
  readonly kind = "failed_precondition";
  readonly reason = "API_KEY_ENDED";

  constructor() {
    super("the API key is revoked, has expired or has been rotated already");
  }
}

/** The text given as a page token is none of this service's. */
export class ApiKeyPageTokenError extends DomainError {
  override readonly name = "ApiKeyPageTokenError";
  readonly kind = "invalid_argument";
  readonly reason = "PAGE_TOKEN_INVALID";
  override readonly violations = [
    { field: "page_token", description: "is not a page token of this service", reason: "page_token" },
  ];

  constructor() {
    super("page_token is not a page token of this service; give back next_page_token exactly as it came");
  }
}
