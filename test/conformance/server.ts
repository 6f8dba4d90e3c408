import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ServerCompatRequest,
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "../../.cache/conformance/gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { createLogger } from "../../src/platform/logger.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type Host, type HostConfig, openHost } from "../../src/server/host.ts";
import { registerConformanceService } from "./conformance.handler.ts";

/** Messages on standard input and output follow their length, a big-endian 32-bit number. */
const lengthBytes = 4;

/** The suite leaves nothing running behind, so that this is only for connections that it keeps for reuse. */
const drainTimeoutMs = 500;

/** Opens the host that the suite describes, with nothing on it but the suite's service. */
async function open(request: ServerCompatRequest): Promise<Host> {
  const materialDir = await mkdtemp(join(tmpdir(), "conformance-tls-"));
  try {
    const tls = await writeTlsMaterial(request, materialDir);
    return await openHost({
      config: {
        listen: { host: "127.0.0.1", port: 0 },
        maxMessageBytes: request.messageReceiveLimit,
        maxStreamsPerConnection: 100,
        streamStallTimeoutMs: 30_000,
        drainTimeoutMs,
        lane: process.env["LANE"] === "off" ? "off" : "on",
        ...(tls !== undefined && { tls }),
      },
      logger: createLogger({ logLevel: "warn", logFormat: "json" }),
      routes: registerConformanceService,
      health: createHealthStatus([]),
    });
  } finally {
    await rm(materialDir, { recursive: true });
  }
}

async function writeTlsMaterial(request: ServerCompatRequest, directory: string): Promise<HostConfig["tls"]> {
  if (request.serverCreds === undefined) {
    return undefined;
  }
  async function write(name: string, content: Uint8Array): Promise<string> {
    const path = join(directory, name);
    await writeFile(path, content);
    return path;
  }
  const judgesClients = request.clientTlsCert.length > 0;
  return {
    certPath: await write("cert.pem", request.serverCreds.cert),
    keyPath: await write("key.pem", request.serverCreds.key),
    ...(judgesClients && { clientCaPath: await write("client-ca.pem", request.clientTlsCert) }),
    clientSpkiPins: [],
    clientAuth: judgesClients ? "required" : "off",
  };
}

const request = fromBinary(ServerCompatRequestSchema, (await buffer(process.stdin)).subarray(lengthBytes));
const host = await open(request);
const { hostname, port } = new URL(host.url);
const response = toBinary(
  ServerCompatResponseSchema,
  create(ServerCompatResponseSchema, {
    host: hostname,
    port: Number(port),
    ...(request.serverCreds !== undefined && { pemCert: request.serverCreds.cert }),
  }),
);
const length = Buffer.alloc(lengthBytes);
length.writeUInt32BE(response.length);
process.stdout.write(Buffer.concat([length, response]));
process.once("SIGTERM", () => void host.close());
