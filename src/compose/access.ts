import { type ClientPrincipals, noClientPrincipals } from "../access/client-principal.ts";
import { openClientPrincipals } from "../access/client-principals.ts";
import { createDoor } from "../access/door.ts";
import { createUserPermissions } from "../access/user-permissions.ts";
import { requireWayIn } from "../access/way-in.ts";
import { policy } from "../policy.ts";
import { type Access, createAccess } from "../server/interceptors/access.ts";
import type { ApiKeys } from "./api-keys.ts";
import type { Core } from "./core.ts";
import type { Tokens } from "./tokens.ts";

/**
 * Builds what stands at the door of every listener of a process with AUTH=on, whatever it mounts: it finds out who
 * calls and lets them in or not.
 *
 * @throws NoWayInError where nobody could call; ConfigError where the file of client principals is wrong; the
 * database's or the system's error
 */
export async function openDoor(
  core: Core,
  { tokens }: Pick<Tokens, "tokens">,
  { authenticator, watch }: Pick<ApiKeys, "authenticator" | "watch">,
): Promise<Access> {
  const { config, database, roles, now } = core;
  if (config.clientPrincipalsPath === undefined) await requireWayIn(database, now());
  const door = createDoor({
    tokens,
    permissions: createUserPermissions(roles, watch),
    apiKeys: authenticator,
    certificates: await openPrincipals(core),
  });
  return createAccess({ door, policy });
}

async function openPrincipals({ config, logger, closing, now }: Core): Promise<ClientPrincipals> {
  const { clientPrincipalsPath: path } = config;
  if (path === undefined) return noClientPrincipals;
  const principals = await openClientPrincipals({ path, logger, now });
  closing.push("client principals", () => principals.close());
  return principals;
}
