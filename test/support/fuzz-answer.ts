import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { Code } from "@connectrpc/connect";
import type { Field } from "./fuzz-credentials.ts";

/** What came back for a request, as far as it came. */
export interface FuzzAnswer {
  /** How the waiting ended: with the end of the answer, with a reset or a close, or it took too long. */
  readonly end: "whole" | "cut off" | "open";
  readonly status: number | undefined;
  /** Header and trailer fields. */
  readonly fields: readonly Field[];
  readonly body: Buffer;
  /** How an HTTP/2 stream ended. */
  readonly resetCode?: number;
}

const codeOfName = new Map(
  Object.entries(Code).flatMap(([name, code]) =>
    typeof code === "number" ? [[name.replace(/(?!^)[A-Z]/g, "_$&").toLowerCase(), code]] : [],
  ),
);

/** The status of the call, 0 for OK; undefined where the answer is none of an RPC or is not whole. */
export function readCode(answer: FuzzAnswer): number | undefined {
  const ofField = findField(answer, "grpc-status");
  if (ofField !== undefined) return Number(ofField);
  const type = findField(answer, "content-type") ?? "";
  const text = readText(answer);
  if (type.startsWith("application/grpc-web")) return numberIn(/grpc-status: ?(\d+)/, text);
  const name = /"code":"(\w+)"/.exec(text)?.[1];
  if (answer.status !== 200) return name === undefined ? undefined : codeOfName.get(name);
  if (type.startsWith("application/connect")) {
    const error = /"error":\{"code":"(\w+)"/.exec(text)?.[1];
    return error === undefined ? (answer.end === "whole" ? 0 : undefined) : codeOfName.get(error);
  }
  return /^application\/(json|proto)/.test(type) ? 0 : undefined;
}

/** Everything that the answer says, compressed or not, in base64 or not, for looking through. */
export function readText(answer: FuzzAnswer): string {
  const { body } = answer;
  const type = findField(answer, "content-type") ?? "";
  const compression =
    findField(answer, "content-encoding") ??
    findField(answer, "grpc-encoding") ??
    findField(answer, "connect-content-encoding");
  const plain = type.includes("-web-text") ? decodePieces(body.toString("latin1")) : body;
  return [
    ...answer.fields.map(
      ([name, value]) =>
        `${name}: ${name === "grpc-message" ? unescapeText(value) : value}${decodeBase64(name, value)}`,
    ),
    inflate(plain, compression, type.includes("grpc") || type.includes("connect")).replace(
      /grpc-message: ?(\S*)/g,
      (_, text) => `grpc-message: ${unescapeText(text)}`,
    ),
  ].join("\n");
}

/** Each chunk of a gRPC-Web text is padded by itself. */
function decodePieces(text: string): Buffer {
  return Buffer.concat((text.match(/[^=]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, "base64")));
}

function findField({ fields }: FuzzAnswer, name: string): string | undefined {
  return fields.findLast(([key]) => key === name)?.[1];
}

/** What is escaped in a way of its own stays as it is. */
function unescapeText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function decodeBase64(name: string, value: string): string {
  return name.endsWith("-bin") ? ` (${Buffer.from(value, "base64").toString("latin1")})` : "";
}

function inflate(body: Buffer, compression: string | undefined, isEnveloped: boolean): string {
  if (compression === undefined || compression === "identity") return body.toString("latin1");
  const unpack = compression === "br" ? brotliDecompressSync : gunzipSync;
  try {
    if (!isEnveloped) return unpack(body).toString("latin1");
    let text = "";
    for (let at = 0; at + 5 <= body.length; ) {
      const end = at + 5 + body.readUInt32BE(at + 1);
      const data = body.subarray(at + 5, end);
      text += ((body[at] as number) & 1) === 1 ? unpack(data).toString("latin1") : data.toString("latin1");
      at = end;
    }
    return text;
  } catch {
    // An answer that was not awaited to its end.
    return body.toString("latin1");
  }
}

function numberIn(pattern: RegExp, text: string): number | undefined {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}
