import { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** Why a call failed, for programs. */
export interface ErrorReason {
  /** Stable, such as `EMAIL_TAKEN`: switch on it, never on the text. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A field of the request that the server found at fault. */
export interface FieldFault {
  /** As the .proto file names it, such as `user.email`. */
  readonly field: string;
  readonly description: string;
}

/** The reason that a failed call's error carries; undefined where it carries none. */
export function findErrorReason(error: unknown): ErrorReason | undefined {
  const info = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0] : undefined;
  return info && { reason: info.reason, metadata: info.metadata };
}

/** Each field that a failed call's error blames; empty where it blames none. */
export function findFieldFaults(error: unknown): readonly FieldFault[] {
  const requests = error instanceof ConnectError ? error.findDetails(BadRequestSchema) : [];
  return requests.flatMap(({ fieldViolations }) =>
    fieldViolations.map(({ field, description }) => ({ field, description })),
  );
}
