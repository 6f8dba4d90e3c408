import type { Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";

/** A way in which a client can speak to the one port. */
export interface Protocol {
  readonly name: string;
  createTransport(baseUrl: string): Transport;
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
      createTransport: (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion, useBinaryFormat }),
    },
    {
      name: `connect GET ${format} over HTTP/${httpVersion}`,
      createTransport: (baseUrl: string) =>
        createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, useHttpGet: true }),
    },
    {
      name: `gRPC-Web ${format} over HTTP/${httpVersion}`,
      createTransport: (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion, useBinaryFormat }),
    },
  ]),
  {
    name: `gRPC ${format} over HTTP/2`,
    createTransport: (baseUrl: string) => createGrpcTransport({ baseUrl, useBinaryFormat }),
  },
]);
