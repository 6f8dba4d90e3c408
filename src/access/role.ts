import { type FieldViolation, InvalidInputError } from "../platform/errors.ts";
import { isStorableText } from "../platform/storable-text.ts";

/** A role. */
export interface Role {
  readonly name: string;
  readonly description: string;
  /** In alphabetical order, each once. */
  readonly permissions: readonly string[];
  /** Whether it is one of the two that are always there. */
  readonly isBuiltIn: boolean;
}

/** The role to create. */
export interface NewRole {
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
}

/** What somebody is and may do at one moment; both lists in alphabetical order, each entry once. */
export interface UserRoles {
  readonly userId: string;
  /** The implied ones included. */
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

/** The role that everybody has. */
export const everybodysRole = "user";
/** The role that superusers have besides. */
export const superusersRole = "admin";

/** The built-in roles and what they permit from the start: the contract of auth.AuthService. */
const builtInPermissions: ReadonlyMap<string, readonly string[]> = new Map([
  [everybodysRole, ["read"]],
  [superusersRole, ["write", "delete"]],
]);

const namePattern = /^[a-z][a-z0-9_-]{0,49}$/;
const permissionPattern = /^[a-z][a-z0-9_-]{0,49}(?:[.:][a-z0-9_-]{1,50}){0,3}$/;
const maxDescriptionLength = 500;

/** Whether the role is built in; who has it follows from the account. */
export function isBuiltIn(name: string): boolean {
  return builtInPermissions.has(name);
}

/** Whether the role permits this from the start and for good. */
export function isBuiltInPermission(name: string, permission: string): boolean {
  return builtInPermissions.get(name)?.includes(permission) === true;
}

/** Whether it is one of those that are for other programs: nothing here takes it. */
export function opensNothing(permission: string): boolean {
  return builtInPermissions.values().some((permissions) => permissions.includes(permission));
}

/** Whether a role can have this name; the database need not be asked about others. */
export function isRoleName(text: string): boolean {
  return namePattern.test(text);
}

/** The roles that an account has by itself. */
export function impliedRoles(isSuperuser: boolean): readonly string[] {
  return isSuperuser ? [superusersRole, everybodysRole] : [everybodysRole];
}

/**
 * Makes a role of what is stored or was asked for.
 *
 * @throws InvalidInputError that names each field at fault
 */
export function createRole(input: NewRole): Role {
  const permissions = input.permissions.map((permission, index) =>
    findPermissionViolation(permission, `permissions[${index}]`),
  );
  assertNoViolations([
    isRoleName(input.name)
      ? undefined
      : {
          field: "name",
          description:
            "must be 1 to 50 lower-case letters, digits, underscores or hyphens, beginning with a letter",
          reason: "role",
        },
    findDescriptionViolation(input.description),
    ...permissions,
  ]);
  return toRole(input);
}

/** The role of these parts, which are valid: the permissions sorted and each once. */
export function toRole({ name, description, permissions }: NewRole): Role {
  return { name, description, permissions: sortedOnce(permissions), isBuiltIn: isBuiltIn(name) };
}

/** The texts in alphabetical order (by their bytes; all are ASCII), each once. */
export function sortedOnce(texts: Iterable<string>): readonly string[] {
  return [...new Set(texts)].sort();
}

/** @throws InvalidInputError that names the field `permission` where the text cannot be one */
export function assertPermission(permission: string): void {
  assertNoViolations([findPermissionViolation(permission, "permission")]);
}

/** What keeps a text from being a permission; undefined where it is one. `field` is where it stands in the request. */
export function findPermissionViolation(text: string, field: string): FieldViolation | undefined {
  return permissionPattern.test(text)
    ? undefined
    : {
        field,
        description:
          "must be up to four words of lower-case letters, digits, underscores or hyphens, with . or : between",
        reason: "permission",
      };
}

/** The length is counted as PostgreSQL and the .proto file count it: in code points. */
function findDescriptionViolation(text: string): FieldViolation | undefined {
  if (!isStorableText(text)) {
    return { field: "description", description: "must be well-formed text without U+0000", reason: "text" };
  }
  return [...text].length <= maxDescriptionLength
    ? undefined
    : {
        field: "description",
        description: `must be at most ${maxDescriptionLength} characters`,
        reason: "text",
      };
}

function assertNoViolations(candidates: readonly (FieldViolation | undefined)[]): void {
  const violations = candidates.filter((violation) => violation !== undefined);
  if (violations.length > 0) {
    throw new InvalidInputError(violations);
  }
}
