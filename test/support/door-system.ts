import type { TestContext } from "node:test";
import type { ConnectRouter } from "@connectrpc/connect";
import { type ClientPrincipals, noClientPrincipals } from "../../src/access/client-principal.ts";
import { createDoor } from "../../src/access/door.ts";
import { createRoleService, type RoleService } from "../../src/access/role.service.ts";
import { createUserPermissions } from "../../src/access/user-permissions.ts";
import type { SigningKeyRing } from "../../src/auth/signing-key-ring.ts";
import type { Door } from "../../src/platform/door.ts";
import type { AccessRule } from "../../src/platform/policy.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type HostConfig, openHost } from "../../src/server/host.ts";
import { type Access, createAccess } from "../../src/server/interceptors/access.ts";
import { type ApiKeySystem, openApiKeySystem } from "./api-key-system.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { testLogger } from "./event-system.ts";
import type { ReadyDatabase } from "./shared-database.ts";
import { testConfig } from "./test-app.ts";
import { openTokenSystem, type TokenSystem, type TokenSystemOptions } from "./token-system.ts";

/** What stands at the door of one process, and what can happen to those who come in. */
export interface DoorSystem extends Omit<TokenSystem, "keys"> {
  readonly ring: SigningKeyRing;
  readonly roles: RoleService;
  readonly apiKeys: ApiKeySystem;
  readonly door: Door;
  /** How often the door has been asked who somebody is. */
  questions(): number;
  /** What stands at the door, by a policy of the test's own. */
  guard(policy: Readonly<Record<string, AccessRule>>): Access;
}

/** Opens what a process has. */
export async function openDoorSystem(
  t: TestContext,
  ready: ReadyDatabase,
  options: TokenSystemOptions = {},
  certificates: ClientPrincipals = noClientPrincipals,
): Promise<DoorSystem> {
  const { keys, ...system } = await openTokenSystem(t, ready, options);
  const { database, log, tokens } = system;
  const roles = createRoleService({ database, log, now: () => new Date() });
  const apiKeys = await openApiKeySystem(t, ready);
  const door = createDoor({
    tokens,
    permissions: createUserPermissions(roles, apiKeys.watch),
    apiKeys: apiKeys.authenticator,
    certificates,
  });
  let questions = 0;
  const counted: Door = {
    credentialOf: door.credentialOf,
    identify(credential) {
      questions += 1;
      return door.identify(credential);
    },
  };
  return {
    ...system,
    ring: keys,
    roles,
    apiKeys,
    door,
    questions: () => questions,
    guard: (policy) => createAccess({ door: counted, policy: new Map(Object.entries(policy)) }),
  };
}

/** Opens the program's own host with somebody at the door. @returns where */
export async function openGuardedHost(
  t: TestContext,
  routes: (router: ConnectRouter) => void,
  access: Access,
  config: Partial<HostConfig> = {},
): Promise<string> {
  const host = await openHost({
    config: { ...testConfig({}), drainTimeoutMs: 100, ...config },
    logger: testLogger,
    routes,
    health: createHealthStatus([]),
    access,
  });
  cleanUpAfter(t, host.close);
  return host.url;
}
