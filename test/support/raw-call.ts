import http from "node:http";
import http2 from "node:http2";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { splitEnvelopes } from "./raw-http.ts";
import { withDeadline } from "./with-deadline.ts";

/** A request, exactly as it is to be sent. */
export interface RawCall {
  readonly httpVersion: 1 | 2;
  readonly method: string;
  readonly path: string;
  /** A field may come more than once. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array | undefined;
}

/** What came back. */
export interface RawAnswer {
  readonly status: number | undefined;
  /** Sorted by name; fields that come more than once keep their order. */
  readonly headers: readonly string[];
  readonly trailers: readonly string[];
  readonly body: Buffer;
  /** How an HTTP/2 stream ended. */
  readonly resetCode: number;
}

/** The same for every server, so that what a server says of a request is comparable. */
const authority = "probe.test:80";

/** Connections to one server, kept for one call after another. */
export interface RawClient {
  send(call: RawCall): Promise<RawAnswer>;
  close(): void;
}

/** Opens a client that neither adds to a request nor takes from an answer what can be helped. */
export function openRawClient(url: string): RawClient {
  const agent = new http.Agent({ keepAlive: true });
  let session: http2.ClientHttp2Session | undefined;

  function getSession(): http2.ClientHttp2Session {
    if (session === undefined || session.closed || session.destroyed) {
      // A field that should come once may be sent twice; Node's types do not know the option yet.
      session = http2.connect(url, { strictSingleValueFields: false } as http2.ClientSessionOptions);
      session.on("error", () => {});
    }
    return session;
  }
  return {
    send: (call) =>
      withDeadline(
        `an answer to ${call.method} ${call.path} over HTTP/${call.httpVersion}`,
        call.httpVersion === 1 ? sendHttp1(url, agent, call) : sendHttp2(getSession(), call),
        10_000,
      ),
    close() {
      agent.destroy();
      session?.destroy();
    },
  };
}

async function sendHttp1(url: string, agent: http.Agent, call: RawCall): Promise<RawAnswer> {
  const { method, path, headers, body } = call;
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const fields = [...headers, ["Host", authority], ["Content-Length", String(body?.length ?? 0)]];
  const request = http.request(url, { agent, method, path, headers: fields.flat(), setHost: false });
  request.on("response", resolve);
  request.on("error", reject);
  request.end(body);
  const response = await promise;
  const bytes = await buffer(response);
  return {
    status: response.statusCode,
    headers: toLines(response.rawHeaders),
    trailers: toLines(response.rawTrailers),
    body: bytes,
    resetCode: 0,
  };
}

async function sendHttp2(session: http2.ClientHttp2Session, call: RawCall): Promise<RawAnswer> {
  const { method, path, headers, body } = call;
  const fields: Record<string, string | string[]> = {
    ":method": method,
    ":path": path,
    ":authority": authority,
  };
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    fields[key] = key in fields ? [fields[key] as string | string[], value].flat() : value;
  }
  const stream = session.request(fields, { endStream: body === undefined });
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const answer = { status: undefined as number | undefined, headers: [""], trailers: [""] };
  stream.on("response", (received, _flags, raw?: string[]) => {
    answer.status = received[":status"];
    answer.headers = toLines(raw ?? []);
  });
  stream.on("trailers", (_received, _flags, raw?: string[]) => {
    answer.trailers = toLines(raw ?? []);
  });
  stream.on("close", resolve);
  stream.on("error", () => {});
  if (body !== undefined) stream.end(body);
  const bytes = await buffer(stream).catch(() => Buffer.alloc(0));
  await closed;
  return { ...answer, body: bytes, resetCode: stream.rstCode ?? 0 };
}

function toLines(raw: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (name !== ":status") lines.push(`${name}: ${raw[at + 1]}`);
  }
  return lines.sort((a, b) => a.split(":", 1)[0]?.localeCompare(b.split(":", 1)[0] ?? "") ?? 0);
}

/** Fields that differ between two answers that say the same. */
const ignored = {
  date: "the clock",
  connection: "Node's own: after an early answer it may or may not be kept",
  "keep-alive": "goes with connection",
  "transfer-encoding": "Node's own choice of framing, where the length is not known",
};

/** An answer without what is no part of it, and so that a difference can be read. */
export function toComparable({ status, headers, trailers, body, resetCode }: RawAnswer) {
  const kept = headers.filter((line) => !((line.split(":", 1)[0] as string) in ignored)).map(withoutMadeIds);
  const find = (name: string) => headers.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const type = find("content-type") ?? "";
  const isEnveloped = status === 200 && /grpc|connect/.test(type);
  const compression = find("content-encoding") ?? find("grpc-encoding") ?? find("connect-content-encoding");
  const parts = readBody(body, isEnveloped, compression);
  return { status, kept, trailers, resetCode, body: parts.map(withoutMadeIds) };
}

/** Which id of a request is made is chance; that one is, and where it stands, is not. */
export function withoutMadeIds(text: string): string {
  return text.replace(/(x-request-id"?: ?"?)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "$1made");
}

/** A body's envelopes, decompressed, or its text. */
function readBody(body: Buffer, isEnveloped: boolean, compression: string | undefined): string[] {
  const inflate = (bytes: Buffer) => (compression === "gzip" ? gunzipSync(bytes) : bytes).toString("latin1");
  if (!isEnveloped) return [compression === undefined ? body.toString("latin1") : inflate(body)];
  return splitEnvelopes(body).map(
    ({ flags, data }) => `${flags} ${(flags & 1) === 1 ? inflate(data) : data.toString("latin1")}`,
  );
}
