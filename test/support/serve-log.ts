import type { TestContext } from "node:test";
import { createAccountGuard } from "../../src/access/account-guard.ts";
import { createRoleService } from "../../src/access/role.service.ts";
import { createUserEventsHandler } from "../../src/events/event.handler.ts";
import { createRoutes, listServices } from "../../src/routes.ts";
import { createHealthHandler } from "../../src/server/health/health.handler.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { openHost } from "../../src/server/host.ts";
import { createUserHandler } from "../../src/users/user.handler.ts";
import { createAnswerWrite } from "../../src/writes/answer-write.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { type EventSystem, testLogger } from "./event-system.ts";
import { testConfig } from "./test-app.ts";

/** Serves a test's own log on the program's own port, until the test ends. @returns where */
export async function serveLog(t: TestContext, { database, users, log }: EventSystem): Promise<string> {
  const now = (): Date => new Date();
  const answerWrite = createAnswerWrite({ database, now });
  const accountGuard = createAccountGuard(createRoleService({ database, log, now }));
  const health = createHealthStatus(listServices(new Set(["users"])).map((service) => service.typeName));
  const routes = createRoutes(
    {
      users: createUserHandler(users, createUserEventsHandler(log), answerWrite, accountGuard),
      auth: undefined,
      access: undefined,
      apiKeys: undefined,
      audit: undefined,
      profiles: undefined,
      health: createHealthHandler(health),
    },
    { reflection: false },
  );
  const host = await openHost({ config: testConfig({}), logger: testLogger, routes, health });
  cleanUpAfter(t, host.close);
  return host.url;
}
