import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AccessService } from "../../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { UserService as ProfileService } from "../../gen/user/user_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";

/** Fields of a request's header. */
export type HeaderFields = Readonly<Record<string, string>>;

/** The product's services as somebody in particular calls them. */
export interface Caller {
  readonly users: Client<typeof UserService>;
  readonly accounts: Client<typeof AuthService>;
  readonly roles: Client<typeof AccessService>;
  readonly keys: Client<typeof ApiKeyService>;
  readonly profiles: Client<typeof ProfileService>;
}

/** Calls with the same fields in the header each time. */
export function callAs(
  url: string,
  fields: HeaderFields,
  transport: Transport = createGrpcTransport({ baseUrl: url }),
): Caller {
  const open = <T extends DescService>(service: T): Client<T> =>
    createClient(service, withFields(transport, fields));
  return {
    users: open(UserService),
    accounts: open(AuthService),
    roles: open(AccessService),
    keys: open(ApiKeyService),
    profiles: open(ProfileService),
  };
}

/** The same transport with fields added to the header of each request. */
export function withFields(transport: Transport, fields: HeaderFields): Transport {
  const add = (header: ConstructorParameters<typeof Headers>[0]): Headers => {
    const headers = new Headers(header);
    for (const [name, value] of Object.entries(fields)) headers.set(name, value);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.unary(method, signal, timeoutMs, add(header), input, contextValues),
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.stream(method, signal, timeoutMs, add(header), input, contextValues),
  };
}

/** The header of somebody with an access token, or an API key. */
export function bearer(credential: string): HeaderFields {
  return { authorization: `Bearer ${credential}` };
}
