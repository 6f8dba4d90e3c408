import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuditEntrySchema, AuditService as AuditServiceDesc } from "../../gen/audit/v1/audit_pb.ts";
import { InvalidInputError } from "../platform/errors.ts";
import type { AuditService } from "./audit.service.ts";
import type { AuditEntry } from "./audit-entry.ts";

/** Creates the implementation of audit.v1.AuditService. Requests have passed the rules of the .proto file. */
export function createAuditHandler(audit: AuditService): ServiceImpl<typeof AuditServiceDesc> {
  return {
    async listAuditEntries(request, { signal }) {
      const { actor, subject, procedure, outcome, since, before, pageSize, pageToken } = request;
      const page = await audit.list(
        {
          actor,
          subject,
          procedure,
          outcome,
          since: toTime(since, "since"),
          before: toTime(before, "before"),
        },
        { size: pageSize, token: pageToken },
        signal,
      );
      return { entries: page.entries.map(toMessage), nextPageToken: page.nextToken };
    },
  };
}

/** From the year 1 to the end of 9999, as google/protobuf/timestamp.proto has it. */
const minSeconds = -62_135_596_800n;
const maxSeconds = 253_402_300_799n;

/**
 * The first whole millisecond at or behind a time: entries have no finer ones, so that this one parts them alike.
 *
 * @throws InvalidInputError where it is no time
 */
function toTime(time: Timestamp | undefined, field: string): Date | undefined {
  if (time === undefined) {
    return undefined;
  }
  const { seconds, nanos } = time;
  if (seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos >= 1_000_000_000) {
    throw new InvalidInputError([
      { field, description: "must be a time from the year 1 to 9999", reason: "timestamp" },
    ]);
  }
  return new Date(Number(seconds) * 1_000 + Math.ceil(nanos / 1_000_000));
}

function toMessage({ occurredAt, ...entry }: AuditEntry): MessageInitShape<typeof AuditEntrySchema> {
  return { ...entry, occurredAt: timestampFromDate(occurredAt) };
}
