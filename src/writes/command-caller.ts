import { randomUUID } from "node:crypto";
import { commandPrincipal } from "../platform/principal.ts";
import { RecordingCaller } from "./write-record.ts";

const neverLeaves = { aborted: false, reason: undefined };

/**
 * The caller of a command's own writes, which nobody can abort: each leaves an entry in the audit log. All of one run
 * have the same request id.
 *
 * @param name of the command, as people type it behind `user-bridge`
 * @param subject whom or what a write was done to
 */
export function commandCaller<Result>(
  name: string,
  subject: (result: Result) => string,
): RecordingCaller<Result> {
  const { actor, credential } = commandPrincipal(name);
  const requestId = randomUUID();
  return new RecordingCaller<Result>(
    neverLeaves,
    (result) => ({
      audit: {
        occurredAt: new Date(),
        actor,
        credential,
        procedure: `user-bridge ${name}`,
        subject: subject(result),
        address: "",
        requestId,
      },
      answer: undefined,
    }),
    undefined,
  );
}
