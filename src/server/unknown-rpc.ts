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
    // A response without a body has its trailers in its headers ("Trailers-Only").
    return reply
      .code(200)
      .header("content-type", type)
      .header("grpc-status", String(error.code))
      .header("grpc-message", encodeURIComponent(error.rawMessage))
      .send();
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
