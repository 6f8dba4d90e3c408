/**
 * The service's own host with a GetUser that answers an empty message at once: what the request path alone costs,
 * with its interceptors and its validation, and without a database. Reads LISTEN; prints `ready`.
 */
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { UserService } from "../../gen/users/v1/users_pb.ts";
import { createLogger } from "../../src/platform/logger.ts";
import { readConfig } from "../../src/platform/read-config.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { openHost } from "../../src/server/host.ts";

function refuse(): never {
  throw new ConnectError("the benchmark calls GetUser only", Code.Unimplemented);
}

const handler: ServiceImpl<typeof UserService> = {
  getUser: () => ({}),
  registerUser: refuse,
  batchGetUsers: refuse,
  listUsers: refuse,
  updateUser: refuse,
  activateUser: refuse,
  deactivateUser: refuse,
  deleteUser: refuse,
  streamUserEvents: refuse,
};

const config = readConfig(process.env, "serve");
const host = await openHost({
  config,
  logger: createLogger(config),
  routes: (router) => void router.service(UserService, handler),
  health: createHealthStatus([]),
});
process.once("SIGTERM", () => void host.close().then(() => process.exit(0)));
process.stdout.write("ready\n");
