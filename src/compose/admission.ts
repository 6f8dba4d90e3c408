import type { Closing } from "../platform/closing.ts";
import type { Config } from "../platform/config.ts";
import { createAdmission, type WatchedAdmission } from "../server/admission/admission.ts";

/** Opens the bounds of the public listener: what is internal is only for those whom one trusts. */
export function openAdmission(config: Pick<Config, "limits">, closing: Closing): WatchedAdmission {
  const admission = createAdmission(config.limits);
  closing.push("admission", () => admission.close());
  return admission;
}
