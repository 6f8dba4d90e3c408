/**
 * users.v1.UserService on stock connect-es: connectNodeAdapter on node:http2 (cleartext) at PORT and, where PORT_HTTP1
 * is set, on node:http there. One Kysely query a call, through node-postgres's pool.
 */
import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Kysely, PostgresDialect } from "kysely";
import { DatabaseError, Pool } from "pg";
import { v7 as uuidv7 } from "uuid";
import { type GetUserRequest, UserService } from "../../../gen/users/v1/users_pb.ts";

interface Schema {
  users: { id: string; email: string; username: string; is_active: boolean; created_at: Date };
}

const { DATABASE_URL, EMPTY, POOL_SIZE = "10", PORT, PORT_HTTP1 } = process.env;

const uniqueViolation = "23505";

const pool = new Pool({ connectionString: DATABASE_URL, max: Number(POOL_SIZE) });
pool.on("error", () => {});
const database = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });

function toKey({ email, id, username }: GetUserRequest) {
  const keys = [
    { column: "email", value: email.toLowerCase() },
    { column: "id", value: id },
    { column: "username", value: username.toLowerCase() },
  ] as const;
  const [key, ...more] = keys.filter(({ value }) => value !== "");
  if (key === undefined || more.length > 0) {
    throw new ConnectError("exactly one of email, id and username must be set", Code.InvalidArgument);
  }
  return key;
}

function routes(router: ConnectRouter): void {
  router.service(UserService, {
    async getUser(request) {
      if (EMPTY === "1") {
        return {};
      }
      const { column, value } = toKey(request);
      const user = await database
        .selectFrom("users")
        .selectAll()
        .where(column, "=", value)
        .executeTakeFirst();
      if (user === undefined) {
        throw new ConnectError("no such user", Code.NotFound);
      }
      return {
        user: {
          id: user.id,
          email: user.email,
          username: user.username,
          isActive: user.is_active,
          createdAt: user.created_at.toISOString(),
        },
      };
    },

    async registerUser(request) {
      const user = {
        id: uuidv7(),
        email: request.email.toLowerCase(),
        username: request.username.toLowerCase(),
      };
      try {
        await database
          .insertInto("users")
          .values({ ...user, is_active: true, created_at: new Date() })
          .execute();
      } catch (error) {
        if (error instanceof DatabaseError && error.code === uniqueViolation) {
          throw new ConnectError("the email or the username is taken", Code.AlreadyExists);
        }
        throw error;
      }
      return { ...user, status: "active" };
    },
  });
}

process.on("SIGTERM", async () => {
  await database.destroy();
  process.exit(0);
});

const handler = connectNodeAdapter({ routes });
await once(createHttp2Server(handler).listen(Number(PORT), "127.0.0.1"), "listening");
if (PORT_HTTP1 !== undefined) {
  await once(createHttp1Server(handler).listen(Number(PORT_HTTP1), "127.0.0.1"), "listening");
}
process.stdout.write("ready\n");
