import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AuthService } from "../gen/auth/auth_pb.ts";
import { UserService as ProfileService } from "../gen/user/user_pb.ts";
import { UserService } from "../gen/users/v1/users_pb.ts";
import { cleanUpAfter } from "./support/clean-up.ts";
import { type Backend, backends } from "./support/databases.ts";
import { expectError } from "./support/expect-error.ts";
import { startOtlpCollector } from "./support/otlp-collector.ts";
import { startServerProcess } from "./support/server-process.ts";
import { isServerSpan, makeTraceparent } from "./support/traced-app.ts";

const sdk = ["sdk-trace", "exporter-trace-otlp-proto", "resources", "core"].map(
  (name) => `@opentelemetry/${name}`,
);

async function prepare(t: TestContext, backend: Backend | undefined) {
  assert.ok(backend);
  const collector = await startOtlpCollector();
  cleanUpAfter(t, collector.close);
  const database = await backend.create();
  cleanUpAfter(t, database.drop);
  const start = async (variables: Record<string, string>) => {
    const process = await startServerProcess({
      ...database.variables,
      MAX_EVENT_LOOP_DELAY: "off",
      ...variables,
    });
    cleanUpAfter(t, async () => void (await process.stop("SIGTERM")));
    return process;
  };
  return { collector, start };
}

test("a process loads OpenTelemetry's SDK only where traces go somewhere", async (t) => {
  const { collector, start } = await prepare(t, backends[0]);
  const modules = pathToFileURL(join(import.meta.dirname, "support/log-loaded-modules.ts")).href;
  for (const endpoint of ["", collector.url]) {
    const server = await start({
      NODE_OPTIONS: `--import ${modules}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    });
    const users = createClient(UserService, createGrpcTransport({ baseUrl: server.url }));
    await expectError(users.getUser({ email: "nobody@example.com" }), { code: Code.NotFound });
    await server.stop("SIGTERM");
    const loaded = /^loaded: (.*)$/m.exec(server.output())?.[1]?.split(" ") ?? [];
    assert.ok(loaded.includes("zod"), "what is loaded is not seen");
    assert.deepEqual(
      sdk.filter((name) => loaded.includes(name)),
      endpoint === "" ? [] : sdk,
    );
  }
  assert.ok(collector.spans.some(({ name }) => name === "users.v1.UserService/GetUser"));
});

test("of OpenTelemetry's variables, those in .env.example count, and no others", async (t) => {
  const { collector, start } = await prepare(t, backends[0]);
  const server = await start({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20collector,x-tenant=one",
    OTEL_SERVICE_NAME: "bridge",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=staging,team=a%20b",
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:1/elsewhere",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-unwanted=1",
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_EXPORTER_OTLP_TIMEOUT: "1",
    OTEL_SDK_DISABLED: "true",
    OTEL_TRACES_SAMPLER: "always_off",
    OTEL_BSP_SCHEDULE_DELAY: "3600000",
    OTEL_LOG_LEVEL: "debug",
  });
  const users = createClient(UserService, createGrpcTransport({ baseUrl: server.url }));
  await expectError(users.getUser({ email: "nobody@example.com" }), { code: Code.NotFound });
  const { resource } = await collector.until("a span", ({ kind }) => kind === "server");
  await server.stop("SIGTERM");
  const [request] = collector.requests;
  assert.deepEqual(
    [
      request?.[":path"],
      request?.["content-type"],
      request?.["content-encoding"],
      request?.authorization,
      request?.["x-tenant"],
      request?.["x-unwanted"],
    ],
    ["/v1/traces", "application/x-protobuf", undefined, "Bearer collector", "one", undefined],
  );
  assert.equal(resource["service.name"], "bridge");
  assert.equal(resource["deployment.environment.name"], "staging");
  assert.equal(resource["team"], "a b");
  assert.equal(resource["telemetry.sdk.language"], "nodejs");
  assert.doesNotMatch(server.output(), /opentelemetry|otlp/i);
});

// The embedded database serves one process.
for (const backend of backends.filter(({ name }) => name === "postgres")) {
  test("what profiles asks of auth in another process is of the same trace, kept or not", async (t) => {
    const { collector, start } = await prepare(t, backend);
    const traced = (serviceName: string) => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: serviceName,
    });
    const auth = await start({ SERVICES: "auth", ...traced("auth") });
    const profiles = await start({ SERVICES: "profiles", AUTH_URL: auth.url, ...traced("profiles") });
    const accounts = createClient(AuthService, createGrpcTransport({ baseUrl: auth.url }));
    const { id: userId } = await accounts.createUser({
      email: "ada@example.com",
      password: "correct horse",
      isActive: true,
    });
    const client = createClient(ProfileService, createGrpcTransport({ baseUrl: profiles.url }));

    const { traceId, spanId, traceparent } = makeTraceparent();
    await client.getUserProfile({ userId }, { headers: { traceparent, tracestate: "vendor=7" } });
    const ofProfiles = await collector.until(
      "the span of profiles",
      (span) => isServerSpan(traceId)(span) && span.resource["service.name"] === "profiles",
    );
    const asked = await collector.until(
      "the span of what is asked",
      (span) =>
        span.traceId === traceId && span.kind === "client" && span.name === "auth.AuthService/GetUser",
    );
    const ofAuth = await collector.until(
      "the span of auth",
      (span) => isServerSpan(traceId)(span) && span.resource["service.name"] === "auth",
    );
    assert.deepEqual(
      [ofProfiles.parentSpanId, asked.parentSpanId, ofAuth.parentSpanId],
      [spanId, ofProfiles.spanId, asked.spanId],
    );
    assert.equal(ofAuth.traceState, "vendor=7");
    assert.equal(asked.attributes["rpc.grpc.status_code"], 0);

    const unkept = makeTraceparent("00");
    await client.getUserProfile({ userId }, { headers: { traceparent: unkept.traceparent } });
    const failing = makeTraceparent();
    await expectError(
      client.getUserProfile(
        { userId: "01890000-0000-7000-8000-000000000000" },
        { headers: { traceparent: failing.traceparent } },
      ),
      { code: Code.NotFound },
    );
    await profiles.stop("SIGTERM");
    await auth.stop("SIGTERM");
    const failed = collector.spans.find(
      (span) =>
        span.traceId === failing.traceId &&
        span.name === "auth.AuthService/GetUser" &&
        span.kind === "client",
    );
    assert.deepEqual(
      [failed?.attributes["rpc.grpc.status_code"], failed?.attributes["error.type"], failed?.status.code],
      [5, "NOT_FOUND", 2],
    );
    assert.ok(!collector.spans.some((span) => span.traceId === unkept.traceId));
  });
}
