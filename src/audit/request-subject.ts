import type { Message } from "@bufbuild/protobuf";
import { findEmailViolation, normalizeEmail, normalizeUserId } from "../users/user.ts";

/** Where requests say whom or what they are about; the first that says something counts. */
const subjectFields = ["userId", "id", "user", "userIds", "role", "name", "email", "username"] as const;

const namePattern = /^[a-zA-Z][\w-]{0,49}$/;

/**
 * Whom or what a request is about, for the audit log: an id, an email or a name in its normal form. Empty where it does
 * not say, or says what can be none of them: that may be a secret in the wrong place.
 */
export function findRequestSubject(message: Message | undefined): string {
  const fields = (message ?? {}) as Readonly<Record<string, unknown>>;
  for (const field of subjectFields) {
    const subject = toSubject(field, fields[field]);
    if (subject !== "") return subject;
  }
  return "";
}

function toSubject(field: (typeof subjectFields)[number], value: unknown): string {
  if (field === "user") {
    return typeof value === "object" ? findRequestSubject(value as Message) : "";
  }
  if (field === "userIds") {
    const [only, ...others] = Array.isArray(value) ? value : [];
    return others.length === 0 ? toSubject("userId", only) : "";
  }
  if (typeof value !== "string") {
    return "";
  }
  switch (field) {
    case "userId":
    case "id":
      return normalizeUserId(value) ?? "";
    case "email":
      return findEmailViolation(value, "") === undefined ? normalizeEmail(value) : "";
    case "role":
    case "name":
    case "username":
      return namePattern.test(value) ? value.toLowerCase() : "";
  }
}
