import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ServerReflection, type ServerReflectionResponse } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { isAbout } from "../src/platform/policy.ts";
import { policy } from "../src/policy.ts";
import { type HeaderFields, withFields } from "./support/callers.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { backends } from "./support/databases.ts";
import { startGuardedApp } from "./support/test-app.ts";

const [embedded] = backends;
assert.ok(embedded);

/** Every RPC of a listener, as the listener says itself. */
async function listRpcs(url: string, fields: HeaderFields): Promise<string[]> {
  const client = createClient(ServerReflection, withFields(createGrpcTransport({ baseUrl: url }), fields));
  const services = await ask(client, "listServices", "");
  assert.equal(services.case, "listServicesResponse");
  const rpcs: string[] = [];
  for (const { name } of services.value.service) {
    const files = await ask(client, "fileContainingSymbol", name);
    assert.equal(files.case, "fileDescriptorResponse");
    const found = files.value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    rpcs.push(...found.flatMap((file) => readRpcs(file, name)));
  }
  return rpcs;
}

async function ask(
  client: Client<typeof ServerReflection>,
  question: "listServices" | "fileContainingSymbol",
  value: string,
): Promise<ServerReflectionResponse["messageResponse"]> {
  const requests = async function* () {
    yield { messageRequest: { case: question, value } };
  };
  for await (const { messageResponse } of client.serverReflectionInfo(requests())) return messageResponse;
  assert.fail("no answer");
}

function readRpcs(file: FileDescriptorProto, service: string): string[] {
  return file.service
    .filter(({ name }) => `${file.package}.${name}` === service)
    .flatMap(({ method }) => method.map(({ name }) => `${service}/${name}`));
}

describe("the policy", () => {
  test("has a rule for each RPC that is mounted on a listener, and for no other", async (t) => {
    const app = await startGuardedApp((end) => cleanUpAfter(t, end), embedded);
    assert.ok(app.internalUrl);
    const [outside, inside] = [
      await listRpcs(app.url, app.headers),
      await listRpcs(app.internalUrl, app.headers),
    ];
    assert.deepEqual([...new Set([...outside, ...inside])].sort(), [...policy.keys()].sort());
    assert.ok(inside.includes("ingestion.InternalAuthService/ValidateApiKey"));
    assert.ok(!outside.some((rpc) => rpc.startsWith("ingestion.")));
  });

  test("is what docs/access.md says", async () => {
    const text = await readFile(new URL("../docs/access.md", import.meta.url), "utf8");
    const documented = [
      ...text.matchAll(/^\| `([\w.]+\/\w+)` \| (?:`([\w:-]+)`|(\w[\w ]*)) \|(?: (.*?) \|)?$/gm),
    ].map(([, procedure, permission, kind, self]) => [procedure, permission ?? kind, self === "themselves"]);
    const actual = [...policy].map(([procedure, rule]) => [
      procedure,
      rule.kind === "permission" ? rule.permission : rule.kind === "public" ? "anybody" : "any credential",
      rule.kind === "permission" && rule.self !== undefined,
    ]);
    assert.deepEqual(documented, actual);
  });

  test("names permissions that a role can be granted", () => {
    for (const rule of policy.values()) {
      if (rule.kind === "permission") assert.match(rule.permission, /^[a-z]+(?:-[a-z]+)*:[a-z]+$/);
    }
  });
});

test("a request is about whom it names first; one that names nobody is about nobody", () => {
  const user = { id: "0190-id", email: "ada@example.com", username: "ada" };
  const unnamed = { ...user, username: "" };
  for (const [about, one, other] of [
    [{ id: "0190-ID" }, true, true],
    [{ email: "ADA@example.com" }, true, true],
    [{ username: "Ada" }, true, false],
    [{ id: "0190-id", email: "eve@example.com" }, true, true],
    [{ id: "other", email: "ada@example.com" }, false, false],
    [{ username: "" }, false, false],
    [{}, false, false],
  ] as const) {
    assert.equal(isAbout(user, about), one, JSON.stringify(about));
    assert.equal(isAbout(unnamed, about), other, JSON.stringify(about));
  }
});
