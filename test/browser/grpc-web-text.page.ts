import { create, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { GrpcWebClientBase, MethodDescriptor, MethodType, type RpcError } from "grpc-web";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import {
  GetUserRequestSchema,
  RegisterUserRequestSchema,
  UserEventsRequest_Start as Start,
  type UserEvent,
  UserEventsRequestSchema,
  UserService,
} from "../../gen/users/v1/users_pb.ts";

// What a page with the classic client does, run in a browser by a test. Its text form is base64 over
// XMLHttpRequest, which shows a stream's text as it grows.
const client = new GrpcWebClientBase({ format: "text" });

/** A stub as protoc-gen-grpc-web writes it, for messages of another generator. */
function describe<M extends DescMethod>(method: M) {
  type Request = MessageShape<M["input"]>;
  type Response = MessageShape<M["output"]>;
  return new MethodDescriptor<Request, Response>(
    `/${method.parent.typeName}/${method.name}`,
    method.methodKind === "server_streaming" ? MethodType.SERVER_STREAMING : MethodType.UNARY,
    Object as unknown as new () => Request,
    Object as unknown as new () => Response,
    (request: Request) => toBinary(method.input, request),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

const register = describe(UserService.method.registerUser);
const get = describe(UserService.method.getUser);
const stream = describe(UserService.method.streamUserEvents);

/** Revisions in the order of their arrival, and the code of the error that ended the stream. */
interface Seen {
  readonly revisions: number[];
  readonly cursors: string[];
  ending: string;
  leave(): void;
}

/** What the test calls. */
const page = {
  async register(server: string, username: string): Promise<string> {
    const request = create(RegisterUserRequestSchema, { email: `${username}@example.com`, username });
    return (await client.unaryCall(`${server}${register.getName()}`, request, deadline(), register)).id;
  },

  async findEmail(server: string, username: string): Promise<string> {
    const request = create(GetUserRequestSchema, { username });
    const { user } = await client.unaryCall(`${server}${get.getName()}`, request, deadline(), get);
    return user?.email ?? "";
  },

  /** @returns the status code and the reason in the details */
  async registerInVain(server: string, username: string): Promise<string> {
    try {
      return await page.register(server, username);
    } catch (failure) {
      const { code, metadata } = failure as RpcError;
      const bytes = Uint8Array.from(atob(metadata["grpc-status-details-bin"] ?? ""), (c) => c.charCodeAt(0));
      const [detail] = fromBinary(StatusSchema, bytes).details;
      return `${code} ${fromBinary(ErrorInfoSchema, detail?.value ?? new Uint8Array()).reason}`;
    }
  },

  follow(server: string, afterCursor: string): Seen {
    const request = create(UserEventsRequestSchema, { afterCursor, start: Start.EARLIEST });
    const call = client.serverStreaming(`${server}${stream.getName()}`, request, {}, stream);
    const seen: Seen = { revisions: [], cursors: [], ending: "", leave: () => call.cancel() };
    call.on("data", (event: UserEvent) => {
      seen.revisions.push(Number(event.revision));
      seen.cursors.push(event.cursor);
    });
    call.on("error", (error) => {
      seen.ending = `${error.code}`;
    });
    return seen;
  },
};

function deadline(): Record<string, string> {
  return { deadline: String(Date.now() + 20_000) };
}

Object.assign(globalThis, { page });
