import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { cleanUpAfter } from "../support/clean-up.ts";

/** A call as it has come over HTTP/2. */
export interface Http2Call {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  /** The connection beneath, for what no HTTP/2 server would do. */
  readonly socket: Socket;
  /** How many came before it. */
  readonly index: number;
}

/** A server that does with each HTTP/2 stream what a script says, and knows nothing of users. */
export interface Http2Server {
  readonly port: number;
  readonly calls: readonly Http2Call[];
  /** Those that are open, with the connections beneath. */
  readonly sessions: ReadonlyMap<ServerHttp2Session, Socket>;
}

/** Listens until the test ends. */
export async function startHttp2Server(
  t: TestContext,
  act: (call: Http2Call) => void,
  tls?: SecureServerOptions,
): Promise<Http2Server> {
  const calls: Http2Call[] = [];
  const sessions = new Map<ServerHttp2Session, Socket>();
  const server = tls === undefined ? createServer() : createSecureServer(tls);
  let connected: Socket;
  server.prependListener(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    connected = socket;
  });
  server.on("session", (session) => {
    sessions.set(session, connected);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const method = headers[":path"]?.split("/").at(-1) ?? "";
    const session = stream.session as ServerHttp2Session;
    const call = {
      method,
      headers,
      stream,
      session,
      socket: sessions.get(session) as Socket,
      index: calls.length,
    };
    calls.push(call);
    act(call);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUpAfter(t, async () => {
    server.close();
    for (const session of sessions.keys()) session.destroy();
    if (server.listening) await once(server, "close");
  });
  return { port: (server.address() as AddressInfo).port, calls, sessions };
}

/** A message without any field, as all protocols wrap it in a stream, and gRPC also in a unary call. */
const emptyEnvelope = Buffer.alloc(5);
const endOfGrpcWeb = wrap(0x80, "grpc-status:0\r\n");

/** Answers a unary call with an empty message. */
export function answerEmpty({ stream, headers }: Http2Call): void {
  const type = headers["content-type"] ?? "";
  if (type.startsWith("application/grpc-web")) {
    begin(stream, type);
    stream.end(Buffer.concat([emptyEnvelope, endOfGrpcWeb]));
  } else if (type.startsWith("application/grpc")) {
    stream.respond({ ":status": 200, "content-type": type }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(emptyEnvelope);
  } else {
    begin(stream, type);
    stream.end();
  }
}

/** Answers with an empty message and ends without the status that must follow it. */
export function cutOff({ stream, headers }: Http2Call): void {
  begin(stream, headers["content-type"] ?? "");
  stream.end(emptyEnvelope);
}

function begin(stream: ServerHttp2Stream, type: string): void {
  stream.respond({ ":status": 200, "content-type": type });
}

function wrap(flags: number, text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}
