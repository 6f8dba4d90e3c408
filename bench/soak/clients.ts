import { Agent } from "node:http";
import type { Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";

/** A way to call, with connections of its own. */
export interface SoakClient {
  readonly protocol: string;
  readonly transport: Transport;
  /** Closes its connections. */
  close(): void;
}

/** One of each protocol that people call by. */
export function openClients(url: string): readonly [SoakClient, ...SoakClient[]] {
  return [openGrpcClient(url), openGrpcWebClient(url), openConnectClient(url)];
}

/** Native gRPC, over HTTP/2. */
export function openGrpcClient(url: string): SoakClient {
  const sessionManager = new Http2SessionManager(url);
  return {
    protocol: "gRPC",
    transport: createGrpcTransport({ baseUrl: url, sessionManager }),
    close: () => sessionManager.abort(),
  };
}

/** gRPC-Web over HTTP/1.1, as from a browser. */
export function openGrpcWebClient(url: string): SoakClient {
  const agent = new Agent({ keepAlive: true });
  return {
    protocol: "gRPC-Web",
    transport: createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1", nodeOptions: { agent } }),
    close: () => agent.destroy(),
  };
}

/** Connect with JSON over HTTP/1.1, as from a script. */
export function openConnectClient(url: string): SoakClient {
  const agent = new Agent({ keepAlive: true });
  const nodeOptions = { agent };
  return {
    protocol: "Connect",
    transport: createConnectTransport({
      baseUrl: url,
      httpVersion: "1.1",
      useBinaryFormat: false,
      nodeOptions,
    }),
    close: () => agent.destroy(),
  };
}
