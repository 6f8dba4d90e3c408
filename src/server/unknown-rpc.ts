import type { ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorToJson } from "@connectrpc/connect/protocol-connect";
import type { FastifyReply, FastifyRequest } from "fastify";

const rpcPath = /^\/[\w.]+\/\w+$/;
const grpcType = /^application\/grpc(?:$|[+;])/i;
const grpcWebType = /^application\/grpc-web(?:-text)?(?:$|[+;])/i;
const connectType = /^application\/(?:connect\+)?(?:proto|json)(?:$|;)/i;

/**
 * Answers a path that nobody serves: where it was meant as an RPC, with UNIMPLEMENTED in the protocol it was
 * called by, else with a plain 404.
 */
export function answerUnknownPath(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split("?", 1)[0] ?? "";
  const type = request.headers["content-type"] ?? "";
  const error = new ConnectError(`no service here has ${path}`, Code.Unimplemented);
  if (rpcPath.test(path) && (grpcType.test(type) || grpcWebType.test(type))) {
    return answerTrailersOnly(request, reply, {
      "content-type": type,
      "grpc-status": String(error.code),
      "grpc-message": encodeURIComponent(error.rawMessage),
    });
  }
  if (rpcPath.test(path) && connectType.test(type)) {
    return reply
      .code(404)
      .type("application/json")
      .send(JSON.stringify(errorToJson(error, undefined)));
  }
  return reply
    .code(404)
    .send({ error: "not found", message: `nothing is served at ${request.method} ${path}` });
}

/**
 * An answer whose trailers are its headers. Over HTTP/2 the HEADERS frame itself must end the stream: gRPC
 * clients take an empty DATA frame behind it for a stream that lost its trailers.
 */
function answerTrailersOnly(
  { raw: request }: FastifyRequest,
  reply: FastifyReply,
  headers: Readonly<Record<string, string>>,
): FastifyReply {
  if (!("stream" in request)) {
    return reply.code(200).headers(headers).send();
  }
  reply.hijack();
  const stream = request.stream as ServerHttp2Stream;
  const corsHeaders = reply.getHeaders() as Record<string, string>;
  stream.respond({ ":status": 200, ...corsHeaders, ...headers }, { endStream: true });
  return reply;
}
