import { once } from "node:events";
import { connect } from "node:net";
import { environment, findFreePort, startProcess } from "./process.ts";

/** What a server can be measured at. */
export type Capability =
  | "grpc"
  | "connect-json-http1"
  | "register"
  | "empty"
  | "fanout"
  | "echo"
  | "validate";

/** A server to measure. */
export interface Contender {
  readonly name: string;
  /** What it is made of, with versions. */
  readonly title: string;
  readonly capabilities: ReadonlySet<string>;
  /** Why it cannot run here; undefined where it can. */
  readonly unavailable: string | undefined;
  start(role: Role): Promise<Server>;
}

/** What a server is started for. */
export interface Role {
  readonly databaseUrl: string;
  readonly poolSize: number;
  /** GetUser answers an empty message at once. */
  readonly empty?: boolean;
  /** Registrations go to subscribers. */
  readonly fanout?: boolean;
  /** The JSON Web Key Set that tokens are to be verified with, for who has not made them. */
  readonly jwks?: string;
}

/** A server that accepts calls. */
export interface Server {
  readonly pid: number;
  /** host:port of cleartext HTTP/2. */
  readonly address: string;
  /** host:port of HTTP/1.1. */
  readonly http1Address: string;
  stop(): Promise<void>;
}

const host = "127.0.0.1";

/** How to start a server, as far as servers differ. */
export interface Launch {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly ready: RegExp;
  variables(ports: { readonly port: number; readonly http1Port: number }): Record<string, string>;
}

/** Starts a server on free ports of this machine and waits until they accept connections. */
export async function launch({ command, cwd, ready, variables }: Launch): Promise<Server> {
  const [port, http1Port] = [await findFreePort(), await findFreePort()];
  const env = environment(variables({ port, http1Port }));
  const server = await startProcess(command, ready, { cwd, env });
  await probe(port);
  return {
    pid: server.pid,
    address: `${host}:${port}`,
    http1Address: `${host}:${http1Port}`,
    stop: () => server.stop(),
  };
}

async function probe(port: number): Promise<void> {
  const socket = connect(port, host);
  await once(socket, "connect");
  socket.destroy();
}
