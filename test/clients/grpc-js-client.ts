import { join } from "node:path";
import {
  type CallOptions,
  type Client,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  loadPackageDefinition,
  type Metadata,
  type requestCallback,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from "@grpc/proto-loader";
import { withDeadline } from "../support/with-deadline.ts";

/** An event as proto-loader gives it with the options below. */
export interface LoadedEvent {
  readonly type: string;
  readonly cursor: string;
  readonly revision: string;
  readonly payload: { readonly id: string; readonly username: string; readonly isActive: boolean } | null;
}

type Call = <Response>(
  request: object,
  metadata: Metadata,
  options: CallOptions,
  callback: requestCallback<Response>,
) => ClientUnaryCall;

/** The stub that grpc-js makes at run time. */
export interface UsersStub extends Client {
  readonly registerUser: Call;
  readonly getUser: Call;
  readonly listUsers: Call;
  streamUserEvents(request: object, options?: Metadata | CallOptions): ClientReadableStream<LoadedEvent>;
}

const root = join(import.meta.dirname, "../..");

/**
 * Loads the contracts as the documentation of grpc-js does, from the folders that protoc is given.
 */
function load(...files: string[]): PackageDefinition {
  return loadSync(files, {
    includeDirs: [join(root, "proto"), join(root, "third_party/proto")],
    longs: String,
    enums: String,
    defaults: true,
  });
}

/** Opens a channel of its own. */
export function createUsersStub(address: string): UsersStub {
  const service = loadPackageDefinition(load("users/v1/users.proto"))["users"] as unknown as {
    v1: { UserService: ServiceClientConstructor };
  };
  return new service.v1.UserService(address, credentials.createInsecure()) as unknown as UsersStub;
}

/** A stream read one message at a time. */
export interface EventReader {
  /** @throws the ServiceError that ended the stream */
  next(): Promise<LoadedEvent>;
  cancel(): void;
}

/** Reads a stream, whose failure goes to whoever waits for a message, and to nobody else. */
export function readEvents(stream: ClientReadableStream<LoadedEvent>): EventReader {
  const messages: AsyncIterator<LoadedEvent> = stream[Symbol.asyncIterator]();
  stream.on("error", () => {});
  return {
    async next() {
      const result = await withDeadline("a message or an error", messages.next());
      if (result.done === true) throw new Error("the stream has ended");
      return result.value;
    },
    cancel: () => stream.cancel(),
  };
}

/** A detail of an error, by the name of its message. */
export interface Detail {
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
}

const messages = load("google/rpc/status.proto", "google/rpc/error_details.proto");

function decode<Message>(name: string, bytes: Buffer): Message {
  return (messages[name] as MessageTypeDefinition<object, object>).deserialize(bytes) as Message;
}

/** Reads `grpc-status-details-bin`, which grpc-js leaves to its users. */
export function readDetails(error: ServiceError): Detail[] {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(bytes)) return [];
  const status = decode<{ details: { type_url: string; value: Buffer }[] }>("google.rpc.Status", bytes);
  return status.details.map(({ type_url: typeUrl, value }) => {
    const name = typeUrl.split("/").at(-1) ?? "";
    return { name, value: decode(name, value) };
  });
}
