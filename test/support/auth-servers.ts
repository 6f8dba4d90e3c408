import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
} from "node:http2";
import type { TestContext } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AuthService, type UserResponseSchema } from "../../gen/auth/auth_pb.ts";
import { cleanUpAfter } from "./clean-up.ts";

/** A call as it arrived. */
export interface ArrivedCall {
  readonly method: "GetUser" | "DeleteUser";
  readonly userId: string;
  readonly headers: Headers;
}

/** What a server does with a call. */
export type Answer = (call: ArrivedCall, server: AuthServer) => Promise<void> | void;

/** One address at which auth.AuthService is served, as far as GetUser and DeleteUser. */
export interface AuthServer {
  readonly address: string;
  readonly calls: ArrivedCall[];
  readonly connectionCount: number;
  /** Set by the request itself, not by the connection. */
  readonly authorities: ReadonlySet<string | undefined>;
  /** Does nothing where it runs already. */
  start(): Promise<void>;
  /** Ends it at once, or in the way of a program that ends well: GOAWAY, then the calls. */
  stop(how: "at once" | "well"): Promise<void>;
}

/** The same port of several loopback addresses, and a URL whose host has them all. */
export interface AuthServers {
  readonly url: string;
  readonly servers: readonly AuthServer[];
}

/** What the tests' servers say of any account. */
export function accountMessage(userId: string): MessageInitShape<typeof UserResponseSchema> {
  return {
    id: userId,
    email: `${userId}@example.com`,
    fullName: `Name of ${userId}`,
    isActive: true,
    createdAt: 1_700_000_000n,
    updatedAt: 1_700_000_001n,
  };
}

/** Starts servers on 127.0.0.1, 127.0.0.2 and so on, and ends them with the test. */
export async function startAuthServers(
  t: TestContext,
  count: number,
  answer: Answer = () => {},
  tls?: { key: string; cert: string },
): Promise<AuthServers> {
  for (;;) {
    // Below those that Linux gives out by itself, so that nobody takes the port while its server is away.
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const servers = Array.from({ length: count }, (_, index) =>
      createAuthServer(`127.0.0.${index + 1}`, port, answer, tls),
    );
    const started = await Promise.allSettled(servers.map((server) => server.start()));
    if (started.every(({ status }) => status === "fulfilled")) {
      cleanUpAfter(t, () => Promise.all(servers.map((server) => server.stop("at once"))));
      return { url: `${tls === undefined ? "http" : "https"}://auth.test:${port}`, servers };
    }
    await Promise.all(servers.map((server) => server.stop("at once")));
  }
}

function createAuthServer(
  address: string,
  port: number,
  answer: Answer,
  tls: { key: string; cert: string } | undefined,
): AuthServer {
  const sessions = new Set<ServerHttp2Session>();
  const calls: ArrivedCall[] = [];
  const authorities = new Set<string | undefined>();
  let listening: Http2Server | Http2SecureServer | undefined;
  const adapter = connectNodeAdapter({
    routes(router) {
      router.service(AuthService, {
        async getUser({ userId }, { requestHeader }) {
          await receive({ method: "GetUser", userId, headers: requestHeader });
          return accountMessage(userId);
        },
        async deleteUser({ userId }, { requestHeader }) {
          await receive({ method: "DeleteUser", userId, headers: requestHeader });
          return { success: true };
        },
      });
    },
  });

  async function receive(call: ArrivedCall): Promise<void> {
    calls.push(call);
    await answer(call, self);
  }

  const self: AuthServer = {
    address,
    calls,
    authorities,
    get connectionCount() {
      return sessions.size;
    },
    async start() {
      if (listening !== undefined) return;
      const server = tls === undefined ? createServer(adapter) : createSecureServer(tls, adapter);
      server.on("session", (session) => {
        sessions.add(session);
        session.on("close", () => sessions.delete(session));
      });
      server.on("stream", (_stream, headers: IncomingHttpHeaders) => authorities.add(headers[":authority"]));
      server.listen(port, address);
      await once(server, "listening");
      listening = server;
    },
    async stop(how) {
      const server = listening;
      if (server === undefined) return;
      listening = undefined;
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) {
        if (how === "well") session.close();
        else session.destroy();
      }
      await closed;
    },
  };
  return self;
}
