import type { DescService } from "@bufbuild/protobuf";
import { DomainError } from "./errors.ts";
import { toUnixSeconds } from "./units.ts";

/** Whether the process wants requests. */
export interface ServingStatus {
  readonly isServing: boolean;
}

/** A service was asked how another one is. */
export class UnknownServiceError extends DomainError {
  override readonly name = "UnknownServiceError";
  readonly kind = "not_found";
  readonly reason = "SERVICE_UNKNOWN";

  constructor() {
    super("no such service here; leave the name out to ask about the process");
  }
}

/**
 * What the RPC HealthCheck of the services auth and user answers. Either is as well as its process is.
 *
 * @param name as the caller has it: empty, or the service's name or that of its package
 * @throws UnknownServiceError
 */
export function describeHealth(
  service: DescService,
  name: string,
  { isServing }: ServingStatus,
  now: Date,
): { status: boolean; message: string; timestamp: bigint } {
  if (!["", service.typeName, service.file.proto.package].includes(name)) {
    throw new UnknownServiceError();
  }
  return { status: isServing, message: isServing ? "serving" : "not serving", timestamp: toUnixSeconds(now) };
}
