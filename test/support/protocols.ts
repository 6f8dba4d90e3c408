import type { Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";

/** A way in which a client can speak to the one port. */
export interface Protocol {
  readonly name: string;
  /** @param nodeOptions for TLS */
  createTransport(baseUrl: string, nodeOptions?: object): Transport;
}

const httpVersions = ["1.1", "2"] as const;
const formats = [
  { format: "proto", useBinaryFormat: true },
  { format: "json", useBinaryFormat: false },
];

/** Every protocol, HTTP version and codec that a connect-node client can speak. */
export const protocols: readonly Protocol[] = formats.flatMap(({ format, useBinaryFormat }) => [
  ...httpVersions.flatMap((httpVersion) => [
    {
      name: `connect ${format} over HTTP/${httpVersion}`,
      createTransport: (baseUrl: string, nodeOptions = {}) =>
        createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, nodeOptions }),
    },
    {
      name: `connect GET ${format} over HTTP/${httpVersion}`,
      createTransport: (baseUrl: string, nodeOptions = {}) =>
        createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, useHttpGet: true, nodeOptions }),
    },
    {
      name: `gRPC-Web ${format} over HTTP/${httpVersion}`,
      createTransport: (baseUrl: string, nodeOptions = {}) =>
        createGrpcWebTransport({ baseUrl, httpVersion, useBinaryFormat, nodeOptions }),
    },
  ]),
  {
    name: `gRPC ${format} over HTTP/2`,
    createTransport: (baseUrl: string, nodeOptions = {}) =>
      createGrpcTransport({ baseUrl, useBinaryFormat, nodeOptions }),
  },
]);
