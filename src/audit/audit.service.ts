import { isStorableText } from "../platform/storable-text.ts";
import type { Database } from "../schema.ts";
import { InvalidPageTokenError } from "../users/user.errors.ts";
import { listEntries } from "./audit.repository.ts";
import type { AuditEntry, AuditFilter } from "./audit-entry.ts";
import { decodeAuditPageToken, encodeAuditPageToken } from "./audit-page-token.ts";

/** Tells who did what, and who was refused. */
export interface AuditService {
  /**
   * A page of the entries, newest first: the one behind the page that gave the token, or the first.
   *
   * @param page a size of 0 means 50, more than 1,000 means 1,000
   * @throws InvalidPageTokenError
   */
  list(
    filter: AuditFilter,
    page: { readonly size: number; readonly token: string },
    signal?: AbortSignal,
  ): Promise<AuditPage>;
}

/** A page of entries and the token of the next, which is empty on the last. */
export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly nextToken: string;
}

const defaultPageSize = 50;
const maxPageSize = 1_000;

/** Creates the service. Failures of the database pass through as they are; the server translates them. */
export function createAuditService(database: Database): AuditService {
  return {
    async list(filter, page, signal) {
      const size = page.size === 0 ? defaultPageSize : Math.min(page.size, maxPageSize);
      const behind = page.token === "" ? undefined : decodeAuditPageToken(page.token);
      if (page.token !== "" && behind === undefined) {
        throw new InvalidPageTokenError();
      }
      if (![filter.actor, filter.subject, filter.procedure, filter.outcome].every(isStorableText)) {
        return { entries: [], nextToken: "" };
      }
      // One more than asked for tells whether there is a next page without a second query.
      const found = await listEntries(database, filter, behind, size + 1, signal);
      const entries = found.slice(0, size);
      const last = entries.at(-1);
      return {
        entries,
        nextToken: found.length > size && last !== undefined ? encodeAuditPageToken(last) : "",
      };
    },
  };
}
