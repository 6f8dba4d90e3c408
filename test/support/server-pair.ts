import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { createLane, type Lane, type LaneOptions } from "../../src/lane/lane.ts";
import type { RequestListener } from "../../src/server/connections/listeners.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type HostConfig, openHost } from "../../src/server/host.ts";
import { createOnePort } from "../../src/server/one-port.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { testLogger } from "./event-system.ts";
import { testConfig } from "./test-app.ts";

const bareOptions = {
  interceptors: [],
  acceptCompression: [compressionGzip, compressionBrotli],
  readMaxBytes: 65_536,
  writeMaxBytes: 65_536,
  shutdownSignal: new AbortController().signal,
  stallTimeoutMs: 30_000,
};

type Routes = (router: ConnectRouter) => void;

/** The same RPCs twice: answered by the fast lane, and by connect-es alone. */
export interface ServerPair {
  readonly lane: string;
  readonly reference: string;
}

/** Opens the program's own host, with nothing on it but the routes. @returns where */
export async function openTestHost(
  t: Pick<TestContext, "after">,
  routes: Routes,
  config: Partial<HostConfig> = {},
): Promise<string> {
  const host = await openHost({
    config: { ...testConfig({}), drainTimeoutMs: 100, ...config },
    logger: testLogger,
    routes,
    health: createHealthStatus([]),
  });
  cleanUpAfter(t as TestContext, host.close);
  return host.url;
}

/** Opens the program's own host twice: with the lane and without. */
export async function openHostPair(
  t: Pick<TestContext, "after">,
  routes: Routes,
  config: Partial<HostConfig> = {},
): Promise<ServerPair> {
  return {
    lane: await openTestHost(t, routes, { ...config, lane: "on" }),
    reference: await openTestHost(t, routes, { ...config, lane: "off" }),
  };
}

/** Opens a port with nothing on it but a lane. @returns where */
export async function openLane(
  t: TestContext,
  options: Pick<LaneOptions, "routes"> & Partial<LaneOptions>,
  fallback: RequestListener = (_request, response) => void response.writeHead(404).end(),
): Promise<string> {
  const lane = createLane({ ...bareOptions, ...options });
  cleanUpAfter(t, lane.close);
  return listen(
    t,
    (request, response) => {
      if ("stream" in request || !lane.takeRequest(request, response)) fallback(request, response);
    },
    lane,
  );
}

/** Opens a bare lane and a bare connect-es router with the same interceptors. */
export async function openBarePair(
  t: TestContext,
  routes: Routes,
  interceptors: readonly Interceptor[],
): Promise<ServerPair> {
  const { acceptCompression, readMaxBytes, writeMaxBytes } = bareOptions;
  const reference = connectNodeAdapter({
    routes,
    interceptors: [...interceptors],
    acceptCompression: [...acceptCompression],
    readMaxBytes,
    writeMaxBytes,
  });
  return {
    lane: await openLane(t, { routes, interceptors }, reference),
    reference: await listen(t, reference),
  };
}

async function listen(t: TestContext, listener: RequestListener, lane?: Lane): Promise<string> {
  const port = createOnePort(listener, { maxStreamsPerConnection: 100, takeStream: lane?.takeStream });
  await new Promise<void>((resolve) => port.server.listen(0, "127.0.0.1", resolve));
  cleanUpAfter(t, () => port.drain(0));
  return `http://127.0.0.1:${(port.server.address() as AddressInfo).port}`;
}
