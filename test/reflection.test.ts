import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { create, createFileRegistry, fromBinary, getOption } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { Code, ConnectError, createClient, type HandlerContext, type Transport } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import * as v1 from "../gen/grpc/reflection/v1/reflection_pb.ts";
import * as v1alpha from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { RegisterUserRequestSchema, UserService } from "../gen/users/v1/users_pb.ts";
import { createReflectionHandler } from "../src/server/reflection/reflection.handler.ts";
import { createReflectionIndex } from "../src/server/reflection/reflection.index.ts";

type Question =
  | { case: "listServices" | "fileByFilename" | "fileContainingSymbol"; value: string }
  | { case: "allExtensionNumbersOfType"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } };
type Request = { host?: string; messageRequest?: Question };
type Response = v1.ServerReflectionResponse | v1alpha.ServerReflectionResponse;
type Reflect = (requests: AsyncIterable<Request>) => AsyncIterable<Response>;

const services = [UserService, v1.ServerReflection, Health, v1alpha.ServerReflection];
const usersFile = "users/v1/users.proto";
const fieldOptions = "google.protobuf.FieldOptions";
/** Of buf.validate.field, from the registry of extension numbers. */
const fieldRulesNumber = 1159;

const listServices: Question = { case: "listServices", value: "" };
const symbol = (value: string): Question => ({ case: "fileContainingSymbol", value });
const fileName = (value: string): Question => ({ case: "fileByFilename", value });
const extensionNumbers = (value: string): Question => ({ case: "allExtensionNumbersOfType", value });
const extension = (containingType: string, extensionNumber: number): Question => ({
  case: "fileContainingExtension",
  value: { containingType, extensionNumber },
});

const versions: Record<string, (transport: Transport) => Reflect> = {
  v1: (transport) => createClient(v1.ServerReflection, transport).serverReflectionInfo,
  v1alpha: (transport) => createClient(v1alpha.ServerReflection, transport).serverReflectionInfo,
};

async function connect(t: TestContext, shutdownSignal?: AbortSignal): Promise<Transport> {
  const handler = createReflectionHandler(() =>
    createReflectionIndex(services, [file_google_rpc_error_details]),
  );
  const routes = connectNodeAdapter({
    routes: (router) =>
      void router.service(v1.ServerReflection, handler).service(v1alpha.ServerReflection, handler),
    ...(shutdownSignal && { shutdownSignal }),
  });
  const server = createServer(routes).listen(0, "127.0.0.1");
  await once(server, "listening");
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  t.after(async () => {
    sessionManager.abort();
    server.close();
    await once(server, "close");
  });
  return createGrpcTransport({ baseUrl, sessionManager });
}

/** Asks everything on one stream. */
async function ask(reflect: Reflect, questions: readonly (Question | undefined)[]): Promise<Response[]> {
  async function* requests(): AsyncGenerator<Request> {
    for (const question of questions) yield question === undefined ? {} : { messageRequest: question };
  }
  return collect(reflect(requests()));
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const message of messages) collected.push(message);
  return collected;
}

function filesOf(response: Response | undefined): FileDescriptorProto[] {
  const answer = response?.messageResponse;
  assert.ok(answer?.case === "fileDescriptorResponse", `not files: ${JSON.stringify(answer?.value)}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

function namesOf(response: Response | undefined): string[] {
  return filesOf(response).map((file) => file.name);
}

function errorCodeOf(response: Response | undefined): Code | undefined {
  const answer = response?.messageResponse;
  assert.ok(answer?.case === "errorResponse", `not an error: ${answer?.case}`);
  assert.notEqual(answer.value.errorMessage, "");
  return answer.value.errorCode;
}

for (const [version, createReflect] of Object.entries(versions)) {
  test(`${version}: lists the services, sorted`, async (t) => {
    const [response] = await ask(createReflect(await connect(t)), [listServices]);

    assert.ok(response?.messageResponse.case === "listServicesResponse");
    assert.deepEqual(
      response.messageResponse.value.service.map((service) => service.name),
      [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "users.v1.UserService",
      ],
    );
  });

  test(`${version}: the answer to one symbol is enough to call the service and to know its rules`, async (t) => {
    const [response] = await ask(createReflect(await connect(t)), [symbol(UserService.typeName)]);

    const files = filesOf(response);
    assert.equal(files[0]?.name, usersFile, "the file that was asked for comes first");
    const byName = new Map(files.map((file) => [file.name, file]));
    assert.equal(byName.size, files.length, "no file comes twice");
    const registry = createFileRegistry(files[0], (name) => byName.get(name));
    assert.deepEqual(
      registry
        .getService(UserService.typeName)
        ?.methods.map((method) => [method.name, method.methodKind, method.input.typeName]),
      UserService.methods.map((method) => [method.name, method.methodKind, method.input.typeName]),
    );
    const email = registry.getMessage(RegisterUserRequestSchema.typeName)?.field["email"];
    assert.ok(email);
    assert.deepEqual(
      getOption(email, fieldRules),
      getOption(RegisterUserRequestSchema.field.email, fieldRules),
    );
    assert.ok(byName.has("buf/validate/validate.proto"));
    assert.ok(byName.has("google/protobuf/descriptor.proto"));
  });

  test(`${version}: finds a file by its name and by whatever it declares`, async (t) => {
    const cases: [question: Question, expected: string][] = [
      [fileName("google/protobuf/duration.proto"), "google/protobuf/duration.proto"],
      [fileName("buf/validate/validate.proto"), "buf/validate/validate.proto"],
      [symbol("users.v1.UserService"), usersFile],
      [symbol("users.v1.UserService.GetUser"), usersFile],
      [symbol("users.v1.User"), usersFile],
      [symbol("users.v1.User.email"), usersFile],
      [symbol("users.v1.UserEventsRequest.Start"), usersFile],
      [symbol("users.v1.UserEventsRequest.EARLIEST"), usersFile],
      [symbol("google.protobuf.FieldOptions.EditionDefault"), "google/protobuf/descriptor.proto"],
      [symbol("google.protobuf.EDITION_2023"), "google/protobuf/descriptor.proto"],
      [symbol("buf.validate.field"), "buf/validate/validate.proto"],
      [symbol("buf.validate.FieldRules.type"), "buf/validate/validate.proto"],
      [symbol("google.rpc.BadRequest.FieldViolation"), "google/rpc/error_details.proto"],
      [extension(fieldOptions, fieldRulesNumber), "buf/validate/validate.proto"],
    ];
    const responses = await ask(
      createReflect(await connect(t)),
      cases.map(([question]) => question),
    );

    assert.deepEqual(
      responses.map((response) => namesOf(response)[0]),
      cases.map(([, expected]) => expected),
    );
  });

  test(`${version}: a file is sent with the files it needs, each once a stream, and whenever it is asked for`, async (t) => {
    const reflect = createReflect(await connect(t));
    const questions = [
      fileName("google/protobuf/field_mask.proto"),
      symbol("users.v1.User"),
      symbol("users.v1.User"),
      fileName("google/protobuf/duration.proto"),
    ];
    const first = await ask(reflect, questions);
    const second = await ask(reflect, [symbol("users.v1.User")]);

    assert.deepEqual(
      first.map((response) => namesOf(response).sort()),
      [
        ["google/protobuf/field_mask.proto"],
        [
          "buf/validate/validate.proto",
          "google/protobuf/descriptor.proto",
          "google/protobuf/duration.proto",
          "google/protobuf/timestamp.proto",
          usersFile,
        ],
        [usersFile],
        ["google/protobuf/duration.proto"],
      ],
    );
    assert.equal(namesOf(second[0]).length, 6, "another stream has been sent nothing yet");
  });

  test(`${version}: knows the extensions of a type, and that a type has none`, async (t) => {
    const responses = await ask(createReflect(await connect(t)), [
      extensionNumbers(fieldOptions),
      extensionNumbers("users.v1.User"),
    ]);

    assert.deepEqual(
      responses.map(({ messageResponse: answer }) => {
        assert.ok(answer.case === "allExtensionNumbersResponse");
        return [answer.value.baseTypeName, answer.value.extensionNumber];
      }),
      [
        [fieldOptions, [fieldRulesNumber, fieldRulesNumber + 1]],
        ["users.v1.User", []],
      ],
    );
  });

  test(`${version}: a question without an answer is an error inside the stream, which goes on`, async (t) => {
    const unknown = [
      fileName("users/v1/nothing.proto"),
      symbol("users.v1.Nothing"),
      symbol(".users.v1.User"),
      symbol(""),
      extension(fieldOptions, 1),
      extension("users.v1.Nothing", fieldRulesNumber),
      extensionNumbers("users.v1.Nothing"),
      extensionNumbers("users.v1.UserService"),
    ];
    const responses = await ask(createReflect(await connect(t)), [
      ...unknown,
      undefined,
      symbol("users.v1.User"),
    ]);

    assert.equal(responses.length, unknown.length + 2);
    for (const [index, question] of unknown.entries()) {
      assert.equal(errorCodeOf(responses[index]), Code.NotFound, JSON.stringify(question));
    }
    assert.equal(errorCodeOf(responses.at(-2)), Code.InvalidArgument, "a request that asks nothing");
    assert.equal(namesOf(responses.at(-1))[0], usersFile);
  });

  test(`${version}: echoes the host and the request`, async (t) => {
    const reflect = createReflect(await connect(t));
    async function* requests(): AsyncGenerator<Request> {
      yield { host: "users.example.com", messageRequest: extension("users.v1.User", 7) };
    }
    const [response] = await collect(reflect(requests()));

    assert.equal(response?.validHost, "users.example.com");
    assert.equal(response.originalRequest?.$typeName, `grpc.reflection.${version}.ServerReflectionRequest`);
    assert.equal(response.originalRequest.host, "users.example.com");
    const question = response.originalRequest.messageRequest;
    assert.ok(question.case === "fileContainingExtension");
    assert.equal(question.value.containingType, "users.v1.User");
    assert.equal(question.value.extensionNumber, 7);
  });

  test(`${version}: each question is answered before the next is asked, and a shutdown ends an idle stream`, async (t) => {
    const shutdown = new AbortController();
    const reflect = createReflect(await connect(t, shutdown.signal));
    const end = Promise.withResolvers<void>();
    t.after(() => end.resolve());
    async function* requests(): AsyncGenerator<Request> {
      yield { messageRequest: symbol("users.v1.User") };
      await end.promise;
    }
    const responses = reflect(requests())[Symbol.asyncIterator]();
    const first = await responses.next();
    assert.equal(namesOf(first.value)[0], usersFile);

    shutdown.abort(new ConnectError("shutting down", Code.Unavailable));
    await assert.rejects(
      responses.next(),
      (error) => error instanceof ConnectError && error.code === Code.Unavailable,
    );
  });
}

test("a long stream keeps no listener for the questions it has answered", async () => {
  const { serverReflectionInfo } = createReflectionHandler(() => createReflectionIndex([UserService]));
  const { signal } = new AbortController();
  async function* requests(): AsyncGenerator<v1.ServerReflectionRequest> {
    for (;;) yield create(v1.ServerReflectionRequestSchema, { messageRequest: listServices });
  }
  const responses = serverReflectionInfo(requests(), { signal } as HandlerContext)[Symbol.asyncIterator]();
  for (let question = 0; question < 1000; question++) await responses.next();

  assert.equal(getEventListeners(signal, "abort").length, 0);
});
