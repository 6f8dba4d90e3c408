import type { MessageInitShape } from "@bufbuild/protobuf";
import type { UserSchema } from "../../gen/users/v1/users_pb.ts";

/** A user as it was at one moment: what an event carries. */
export interface UserSnapshot {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly isActive: boolean;
  readonly createdAt: Date;
}

/** A snapshot as the log's table keeps it (JSON). */
export interface StoredSnapshot {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly is_active: boolean;
  readonly created_at: string;
}

/** The snapshot that the table holds. */
export function fromStoredSnapshot(stored: StoredSnapshot): UserSnapshot {
  return {
    id: stored.id,
    email: stored.email,
    username: stored.username,
    isActive: stored.is_active,
    createdAt: new Date(stored.created_at),
  };
}

/** The snapshot on the wire. */
export function toUserMessage(user: UserSnapshot): MessageInitShape<typeof UserSchema> {
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    isActive: user.isActive,
    createdAt: user.createdAt.toISOString(),
  };
}
