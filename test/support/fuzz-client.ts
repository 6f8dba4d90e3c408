import type { EventEmitter } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import type { FuzzAnswer } from "./fuzz-answer.ts";
import type { FuzzCall } from "./fuzz-call.ts";
import type { Field } from "./fuzz-credentials.ts";

/** Longer than any unary call takes, however slow the machine. */
const patienceMs = 10_000;

/** As long as is waited for a stream, which may last. */
const streamPatienceMs = 400;

/** Node's typings do not know it yet: fields that should come once may come twice. */
const repeatedFields = { strictSingleValueFields: false };

/** Sends requests as they are, each over a connection of its own or with others over one. */
export interface FuzzClient {
  send(call: FuzzCall): Promise<FuzzAnswer>;
  close(): Promise<void>;
}

/** Connects, without looking at the server's certificate. */
export function connectTo(url: string, protocols: readonly string[] = []): net.Socket {
  const { hostname, port, protocol } = new URL(url);
  const address = { host: hostname, port: Number(port) };
  const socket =
    protocol === "https:"
      ? tls.connect({ ...address, rejectUnauthorized: false, ALPNProtocols: [...protocols] })
      : net.connect(address);
  socket.on("error", () => {});
  return socket;
}

/** Opens a client: HTTP/2 requests share a connection, HTTP/1.1 ones have each their own. */
export function openFuzzClient(url: string): FuzzClient {
  let session: http2.ClientHttp2Session | undefined;
  function getSession(): http2.ClientHttp2Session {
    if (session === undefined || session.closed || session.destroyed) {
      session = http2.connect(url, {
        createConnection: () => connectTo(url, ["h2"]),
        maxSendHeaderBlockLength: 1_000_000,
        // In megabytes: at its limit (10), Node's client loses the answers to requests that wait to be sent.
        maxSessionMemory: 1_000,
        ...repeatedFields,
      });
      session.on("error", () => {});
    }
    return session;
  }
  return {
    send: (call) => {
      const patience = call.method.methodKind === "unary" ? patienceMs : streamPatienceMs;
      return call.httpVersion === 1
        ? sendHttp1(url, http1Bytes(call), patience)
        : sendHttp2(getSession(), call, url, patience);
    },
    async close() {
      if (session === undefined || session.destroyed) return;
      const closed = untilClosed(session);
      session.destroy();
      await closed;
    },
  };
}

function http1Bytes({ verb, path, headers, body }: FuzzCall): Buffer {
  const fields: Field[] = [
    ["host", "fuzz.test"],
    ...headers,
    ["connection", "close"],
    ["content-length", String(body.length)],
  ];
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.concat([Buffer.from(`${verb} ${path} HTTP/1.1\r\n${lines}\r\n`, "latin1"), body]);
}

/** Sends bytes over a connection of their own, and reads until the server closes it or the patience ends. */
export async function sendHttp1(url: string, bytes: Buffer, patience: number): Promise<FuzzAnswer> {
  const socket = connectTo(url);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk as Buffer));
  socket.write(bytes);
  const isClosed = await within(patience, untilClosed(socket));
  socket.destroy();
  return parseHttp1(Buffer.concat(chunks), isClosed);
}

async function sendHttp2(
  session: http2.ClientHttp2Session,
  call: FuzzCall,
  url: string,
  patience: number,
): Promise<FuzzAnswer> {
  const pseudo = [":method", call.verb, ":path", call.path, ":scheme", new URL(url).protocol.slice(0, -1)];
  const raw = [...pseudo, ":authority", "fuzz.test", ...call.headers.flat()];
  const fields: Field[] = [];
  const chunks: Buffer[] = [];
  let status: number | undefined;
  const stream = session.request(raw as unknown as http2.OutgoingHttpHeaders, {
    endStream: call.body.length === 0,
  });
  const take = (list: readonly string[] = []) => {
    for (let at = 0; at + 1 < list.length; at += 2) fields.push([list[at] as string, list[at + 1] as string]);
  };
  stream.on("response", (received, _flags, list) => {
    status = received[":status"];
    take(list as unknown as string[]);
  });
  stream.on("trailers", (_received, _flags, list) => take(list as unknown as string[]));
  stream.on("data", (chunk) => chunks.push(chunk));
  stream.on("error", () => {});
  const closed = untilClosed(stream);
  if (call.body.length > 0) stream.end(call.body);
  const isClosed = await within(patience, closed);
  const resetCode = stream.rstCode ?? 0;
  const end = !isClosed ? "open" : resetCode === 0 && status !== undefined ? "whole" : "cut off";
  if (!isClosed) stream.close(http2.constants.NGHTTP2_CANCEL);
  return { end, status, fields, body: Buffer.concat(chunks), resetCode };
}

/** Not `once`, which an error would reject: whatever breaks a connection also closes it. */
function untilClosed(what: EventEmitter): Promise<void> {
  return new Promise((resolve) => what.once("close", resolve));
}

async function within(timeoutMs: number, event: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const isIn = await Promise.race([event.then(() => true), late]);
  clearTimeout(timer);
  return isIn;
}

/** The last final answer among the bytes: the only one, where there was one request. */
export function parseHttp1(bytes: Buffer, isClosed: boolean): FuzzAnswer {
  let rest = bytes.toString("latin1");
  // Informational answers (100 Continue) come before the one that counts.
  while (/^HTTP\/1\.1 1\d\d /.test(rest)) rest = rest.slice(rest.indexOf("\r\n\r\n") + 4);
  const headEnd = rest.indexOf("\r\n\r\n");
  if (headEnd < 0)
    return { end: isClosed ? "cut off" : "open", status: undefined, fields: [], body: Buffer.from(rest) };
  const [statusLine = "", ...lines] = rest.slice(0, headEnd).split("\r\n");
  const fields = lines.map(toField);
  const payload = rest.slice(headEnd + 4);
  const isChunked = fields.some(([name, value]) => name === "transfer-encoding" && value === "chunked");
  const { body, trailers, isWhole } = isChunked
    ? readChunks(payload)
    : { body: payload, trailers: [], isWhole: true };
  return {
    end: !isClosed ? "open" : isWhole ? "whole" : "cut off",
    status: Number(statusLine.split(" ")[1]),
    fields: [...fields, ...trailers],
    body: Buffer.from(body, "latin1"),
  };
}

function readChunks(payload: string): { body: string; trailers: Field[]; isWhole: boolean } {
  let body = "";
  for (let at = 0; ; ) {
    const lineEnd = payload.indexOf("\r\n", at);
    const size = lineEnd < 0 ? Number.NaN : Number.parseInt(payload.slice(at, lineEnd), 16);
    if (Number.isNaN(size)) return { body, trailers: [], isWhole: false };
    if (size === 0) {
      const trailers = payload
        .slice(lineEnd + 2)
        .split("\r\n")
        .filter(Boolean)
        .map(toField);
      return { body, trailers, isWhole: true };
    }
    body += payload.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

function toField(line: string): Field {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
