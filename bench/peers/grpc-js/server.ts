/**
 * users.v1.UserService on grpc-js, its messages loaded by proto-loader. One node-postgres query a call, each a
 * prepared statement (a query with a name). FANOUT=1 makes registrations events in memory only. With JWKS, it serves
 * auth.AuthService's ValidateToken, too.
 */
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type handleUnaryCall,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { DatabaseError, Pool } from "pg";
import { v7 as uuidv7 } from "uuid";
import { publishRegistration, subscribe } from "./broadcast.ts";
import type {
  GetUserRequest,
  GetUserResponse,
  RegisterUserRequest,
  RegisterUserResponse,
  User,
} from "./messages.ts";
import { createTokenValidation } from "./tokens.ts";

interface UserRow {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly is_active: boolean;
  readonly created_at: Date;
}

const { DATABASE_URL, EMPTY, FANOUT, JWKS, POOL_SIZE = "10", PORT } = process.env;

const uniqueViolation = "23505";

const pool = new Pool({ connectionString: DATABASE_URL, max: Number(POOL_SIZE) });
pool.on("error", () => {});

/** A failure that grpc-js sends as it is; it takes any error with these two for the answer's status. */
function failure(code: status, details: string): Error {
  return Object.assign(new Error(details), { code, details });
}

/** A handler that may be async, and whose errors are the call's. */
function unary<Request, Response>(
  answer: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request).then(
      (response) => callback(null, response),
      (error: Error & { code?: unknown }) =>
        callback(typeof error.code === "number" ? error : failure(status.INTERNAL, "internal error")),
    );
  };
}

function toKey({ email, id, username }: GetUserRequest) {
  const keys = [
    { column: "email", value: email.toLowerCase() },
    { column: "id", value: id },
    { column: "username", value: username.toLowerCase() },
  ];
  const [key, ...more] = keys.filter(({ value }) => value !== "");
  if (key === undefined || more.length > 0) {
    throw failure(status.INVALID_ARGUMENT, "exactly one of email, id and username must be set");
  }
  return key;
}

async function getUser(request: GetUserRequest): Promise<GetUserResponse> {
  if (EMPTY === "1") {
    return {};
  }
  const { column, value } = toKey(request);
  const { rows } = await pool.query<UserRow>({
    name: `get-user-by-${column}`,
    text: `select id, email, username, is_active, created_at from users where ${column} = $1`,
    values: [value],
  });
  const [row] = rows;
  if (row === undefined) {
    throw failure(status.NOT_FOUND, "no such user");
  }
  return {
    user: {
      id: row.id,
      email: row.email,
      username: row.username,
      isActive: row.is_active,
      createdAt: row.created_at.toISOString(),
    },
  };
}

async function insertUser(user: User): Promise<void> {
  try {
    await pool.query({
      name: "insert-user",
      text: "insert into users (id, email, username, is_active, created_at) values ($1, $2, $3, $4, $5)",
      values: [user.id, user.email, user.username, user.isActive, user.createdAt],
    });
  } catch (error) {
    if (error instanceof DatabaseError && error.code === uniqueViolation) {
      throw failure(status.ALREADY_EXISTS, "the email or the username is taken");
    }
    throw error;
  }
}

async function registerUser(request: RegisterUserRequest): Promise<RegisterUserResponse> {
  const user: User = {
    id: uuidv7(),
    email: request.email.toLowerCase(),
    username: request.username.toLowerCase(),
    isActive: true,
    createdAt: new Date().toISOString(),
  };
  if (FANOUT === "1") {
    publishRegistration(user);
  } else {
    await insertUser(user);
  }
  return { id: user.id, email: user.email, username: user.username, status: "active" };
}

const root = join(import.meta.dirname, "../../..");
const contracts = loadSync(["users/v1/users.proto", "auth/auth.proto"], {
  includeDirs: [join(root, "proto"), join(root, "third_party/proto")],
  longs: String,
  enums: String,
  defaults: true,
});
const { auth, users } = loadPackageDefinition(contracts) as unknown as {
  auth: { AuthService: ServiceClientConstructor };
  users: { v1: { UserService: ServiceClientConstructor } };
};

const server = new Server();
// What is left out answers UNIMPLEMENTED.
server.addService(users.v1.UserService.service, {
  getUser: unary(getUser),
  registerUser: unary(registerUser),
  ...(FANOUT === "1" && { streamUserEvents: subscribe }),
});
if (JWKS !== undefined) {
  server.addService(auth.AuthService.service, { validateToken: unary(createTokenValidation(JWKS)) });
}

process.on("SIGTERM", async () => {
  server.forceShutdown();
  await pool.end();
  process.exit(0);
});

await promisify(server.bindAsync.bind(server))(`127.0.0.1:${PORT}`, ServerCredentials.createInsecure());
process.stdout.write("ready\n");
