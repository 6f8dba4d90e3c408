import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Contender, launch, type Role, type Server } from "./contender.ts";
import { bench, repository } from "./places.ts";

/** The name of this service in the results. */
export const subjectName = "user-bridge";

/** The service without its fast lane, as an extra row. */
export const withoutLaneName = "user-bridge, LANE=off";

/** Encrypts the signing keys in the run's databases, so that tokens outlive the process that issued them. */
const keyEncryptionKey = randomBytes(32).toString("base64");

/** This service, started as its users start it. */
export function createSubjects(): readonly Contender[] {
  return [
    {
      name: subjectName,
      title: "this service, as `npm start` runs it",
      capabilities: new Set(["grpc", "connect-json-http1", "register", "empty", "fanout", "validate"]),
      unavailable: undefined,
      start: (role) => startSubject(role, "on"),
    },
    {
      name: withoutLaneName,
      title: "this service with every call on connect-es's own handler",
      capabilities: new Set(["grpc", "connect-json-http1", "validate"]),
      unavailable: undefined,
      start: (role) => startSubject(role, "off"),
    },
  ];
}

/** This service as it is started by default, among the contenders of a run. */
export function findSubject(contenders: readonly Contender[]): Contender {
  const subject = contenders.find(({ name }) => name === subjectName);
  if (subject === undefined) throw new Error("the service itself is missing");
  return subject;
}

async function startSubject(role: Role, lane: "on" | "off"): Promise<Server> {
  const command = role.empty
    ? (["node", join(bench, "subject/empty.ts")] as const)
    : (["node", join(repository, "src/main.ts"), "serve"] as const);
  const server = await launch({
    command,
    cwd: repository,
    ready: /user-bridge serves at|^ready/m,
    variables: ({ port }) => ({
      AUTH: "off",
      LISTEN: `127.0.0.1:${port}`,
      INTERNAL_LISTEN: "127.0.0.1:0",
      DATABASE_URL: role.databaseUrl,
      DATABASE_POOL_SIZE: `${role.poolSize}`,
      KEY_ENCRYPTION_KEY: keyEncryptionKey,
      MIGRATE: "off",
      LOG_LEVEL: "warn",
      LANE: lane,
    }),
  });
  return { ...server, http1Address: server.address };
}
