import type { Database } from "../schema.ts";
import { hasGoodCredential } from "./way-in.repository.ts";

/** A process would serve nobody: there is no credential that it would accept. The message says how to make one. */
export class NoWayInError extends Error {
  override readonly name = "NoWayInError";

  constructor() {
    super(
      [
        "AUTH is on, and nobody could call: there is no API key, no superuser with a password and no client certificate that is anybody's. Make one of them on this database:",
        "  - user-bridge api-keys create --name NAME --scope PERMISSION    (docs/access.md lists the permissions)",
        "  - user-bridge users create --superuser --email EMAIL",
        "  - or set TLS_CLIENT_PRINCIPALS to a file that says whose client certificates are (docs/tls.md)",
        "To serve without credentials on a loopback address, set AUTH=off.",
      ].join("\n"),
    );
  }
}

/** @throws NoWayInError, the database's error */
export async function requireWayIn(database: Database, now: Date): Promise<void> {
  if (!(await hasGoodCredential(database, now))) throw new NoWayInError();
}
