import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseEnv } from "node:util";
import { mintApiKey } from "../src/api-keys/api-key-text.ts";
import { ConfigError } from "../src/platform/config.ts";
import { configVariables, readConfig } from "../src/platform/read-config.ts";
import { runCommand } from "./support/server-process.ts";

/** The faults of an environment, by the variable that each begins with. */
function faultsOf(variables: Record<string, string>): string[] {
  try {
    readConfig(variables, "serve");
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.faults.map((fault) => fault.split(":", 1)[0] ?? "");
  }
}

describe("the configuration", () => {
  test(".env.example names every variable, and its values are the defaults", async () => {
    const example = parseEnv(await readFile(join(import.meta.dirname, "../.env.example"), "utf8"));
    assert.deepEqual(Object.keys(example).sort(), [...configVariables].sort());
    assert.deepEqual(readConfig(example, "serve"), readConfig({}, "serve"));
  });

  test("every fault is found at once, and none repeats a secret", () => {
    const variables = {
      LISTEN: "8080",
      INTERNAL_LISTEN: "on",
      INTERNAL_TLS: "yes",
      INTERNAL_TLS_CLIENT_AUTH: "maybe",
      TLS_CERT: "a.pem",
      TLS_CLIENT_AUTH: "maybe",
      TLS_CLIENT_SPKI_PINS: "sha256/c2hvcnQ=",
      CORS_ORIGINS: "example.com",
      AUTH: "maybe",
      DATABASE_URL: "mysql://root:hunter2@db/x",
      DATABASE_POOL_SIZE: "many",
      MIGRATE: "no",
      EVENT_RETENTION: "30",
      STREAM_STALL_TIMEOUT: "0s",
      MAX_MESSAGE_BYTES: "4MB",
      DRAIN_TIMEOUT: "-1s",
      LOG_LEVEL: "loud",
      TRUSTED_PROXIES: "10.0.0.0/8, 0.0.0.0/0",
      SERVICES: "users,billing",
      AUTH_URL: "http://root:hunter2@auth",
      AUTH_API_KEY: "hunter2",
      AUDIT_RETENTION: "0s",
      KEY_ENCRYPTION_KEY: "hunter2",
      ACCESS_TOKEN_TTL: "2d",
      SIGNING_KEY_ROTATION: "1s",
      PASSWORD_ITERATIONS: "0",
      DEFAULT_DEADLINE: "30",
      MAX_CONCURRENT_CALLS: "0",
      RATE_LIMIT_PER_PRINCIPAL: "fast",
      RATE_LIMIT_PER_ADDRESS: "0/s",
      MAX_EVENT_LOOP_DELAY: "1ms",
      KEEPALIVE_TIMEOUT: "never",
      LOG_CALLS: "some",
      OTEL_EXPORTER_OTLP_ENDPOINT: "grpc://root:hunter2@collector",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization: hunter2",
      OTEL_RESOURCE_ATTRIBUTES: "zone=%E0%A4%A",
      OTEL_TRACES_SAMPLER_ARG: "2",
    };
    const expected = [...Object.keys(variables).filter((name) => name !== "TLS_CERT"), "TLS_CERT, TLS_KEY"];
    assert.deepEqual([...new Set(faultsOf(variables))].sort(), [...expected].sort());
    assert.throws(
      () => readConfig(variables, "serve"),
      (error: Error) => !error.message.includes("hunter2"),
    );
  });

  for (const variable of ["LISTEN", "INTERNAL_LISTEN"]) {
    test(`AUTH=off is refused where ${variable} is no loopback address, AUTH=on nowhere`, () => {
      for (const host of ["0.0.0.0", "[::]", "192.168.1.7", "bridge.internal"]) {
        assert.deepEqual(faultsOf({ [variable]: `${host}:8081` }), ["AUTH"], host);
        assert.deepEqual(faultsOf({ [variable]: `${host}:8081`, AUTH: "off" }), ["AUTH"], host);
        assert.deepEqual(faultsOf({ [variable]: `${host}:8081`, AUTH: "on" }), [], host);
      }
      for (const host of ["127.0.0.1", "127.0.0.2", "[::1]", "localhost"]) {
        assert.deepEqual(faultsOf({ [variable]: `${host}:8081` }), [], host);
      }
    });
  }

  test("AUTH is off by default for the embedded database only, and that has to be on loopback addresses", () => {
    assert.equal(readConfig({}, "serve").auth, "off");
    assert.equal(readConfig({ DATABASE_URL: "postgres://db/x" }, "serve").auth, "on");
    assert.equal(readConfig({ DATABASE_URL: "postgres://db/x", AUTH: "off" }, "serve").auth, "off");
    const everywhere = { LISTEN: "0.0.0.0:8080", INTERNAL_LISTEN: "0.0.0.0:50053" };
    assert.deepEqual(faultsOf(everywhere), ["AUTH", "AUTH"]);
    assert.deepEqual(faultsOf({ ...everywhere, DATABASE_URL: "postgres://db/x" }), []);
  });

  test("the internal listener is on a loopback port of its own, elsewhere, or off", () => {
    assert.deepEqual(readConfig({}, "serve").internal, { listen: { host: "127.0.0.1", port: 50053 } });
    const elsewhere = readConfig({ INTERNAL_LISTEN: "[::1]:0" }, "serve");
    assert.deepEqual(elsewhere.internal, { listen: { host: "::1", port: 0 } });
    assert.equal(readConfig({ INTERNAL_LISTEN: "off" }, "serve").internal, undefined);
    assert.deepEqual(faultsOf({ INTERNAL_LISTEN: "127.0.0.1:8080" }), ["INTERNAL_LISTEN"]);
    assert.deepEqual(faultsOf({ LISTEN: "127.0.0.1:0", INTERNAL_LISTEN: "127.0.0.1:0" }), []);
  });

  test("what judges client certificates needs TLS, and what wants them needs something that judges", () => {
    const tls = { TLS_CERT: "cert.pem", TLS_KEY: "key.pem" };
    const pin = createHash("sha256").update("a public key").digest();
    const pins = { TLS_CLIENT_SPKI_PINS: `sha256/${pin.toString("base64")}` };
    const ca = { TLS_CLIENT_CA: "ca.pem" };
    assert.deepEqual(faultsOf({ TLS_CERT: "cert.pem" }), ["TLS_CERT, TLS_KEY"]);
    assert.deepEqual(faultsOf(ca), ["TLS_CLIENT_CA"]);
    assert.deepEqual(faultsOf(pins), ["TLS_CLIENT_SPKI_PINS"]);
    assert.deepEqual(faultsOf({ ...tls, TLS_CLIENT_AUTH: "optional" }), ["TLS_CLIENT_AUTH"]);
    assert.deepEqual(faultsOf({ ...tls, TLS_CLIENT_PRINCIPALS: "who.json" }), ["TLS_CLIENT_PRINCIPALS"]);
    const unasked = {
      ...tls,
      TLS_CLIENT_CA: "ca.pem",
      TLS_CLIENT_PRINCIPALS: "who.json",
      TLS_CLIENT_AUTH: "off",
    };
    assert.deepEqual(faultsOf(unasked), ["TLS_CLIENT_PRINCIPALS"]);
    assert.deepEqual(faultsOf({ INTERNAL_TLS: "on" }), ["INTERNAL_TLS"]);
    const internalOnly = { ...tls, ...ca, INTERNAL_TLS_CLIENT_AUTH: "optional" };
    assert.deepEqual(faultsOf(internalOnly), ["INTERNAL_TLS_CLIENT_AUTH"]);
    assert.deepEqual(
      faultsOf({ ...internalOnly, INTERNAL_TLS: "on", TLS_CLIENT_PRINCIPALS: "who.json" }),
      [],
    );

    const files = { certPath: "cert.pem", keyPath: "key.pem" };
    assert.deepEqual(readConfig(tls, "serve").tls, { ...files, clientSpkiPins: [], clientAuth: "off" });
    assert.deepEqual(readConfig({ ...tls, ...pins }, "serve").tls, {
      ...files,
      clientSpkiPins: [pin],
      clientAuth: "required",
    });
    const both = readConfig({ ...tls, ...ca, INTERNAL_TLS: "on", TLS_CLIENT_AUTH: "optional" }, "serve");
    const judged = { ...files, clientCaPath: "ca.pem", clientSpkiPins: [] };
    assert.deepEqual(both.tls, { ...judged, clientAuth: "optional" });
    assert.deepEqual(both.internal?.tls, { ...judged, clientAuth: "required" });
    assert.equal(readConfig({ ...tls, ...ca }, "serve").internal?.tls, undefined);
  });

  test("a key for auth is one, and is shown to the process at AUTH_URL", () => {
    const authUrl = { SERVICES: "profiles", AUTH_URL: "http://auth.internal:50051" };
    const { secret } = mintApiKey();
    assert.equal(readConfig({ ...authUrl, AUTH_API_KEY: secret }, "serve").authApiKey, secret);
    assert.deepEqual(faultsOf({ ...authUrl, AUTH_API_KEY: secret.slice(1) }), ["AUTH_API_KEY"]);
    assert.deepEqual(faultsOf({ AUTH_API_KEY: secret }), ["AUTH_API_KEY"]);
  });

  test("profiles without auth must know where auth is, and auth itself needs nobody", () => {
    assert.deepEqual(faultsOf({ SERVICES: "profiles" }), ["AUTH_URL"]);
    assert.deepEqual(faultsOf({ SERVICES: "users" }), []);
    const split = readConfig({ SERVICES: "profiles", AUTH_URL: "http://auth.internal:50051" }, "serve");
    assert.equal(split.authUrl, "http://auth.internal:50051");
    assert.deepEqual(faultsOf({ SERVICES: "profiles", AUTH_URL: "http://auth.internal/path" }), ["AUTH_URL"]);
    const whole = readConfig({ SERVICES: "profiles,auth", AUTH_URL: "http://elsewhere:50051" }, "serve");
    assert.equal(whole.authUrl, undefined);
  });

  test("a password hash has as much memory as its lanes need", () => {
    assert.deepEqual(faultsOf({ PASSWORD_MEMORY: "16KiB", PASSWORD_PARALLELISM: "2" }), []);
    assert.deepEqual(faultsOf({ PASSWORD_MEMORY: "16KiB", PASSWORD_PARALLELISM: "3" }), ["PASSWORD_MEMORY"]);
  });

  test("reflection is on where AUTH=off, unless it is switched off, and may be where AUTH=on", () => {
    assert.equal(readConfig({}, "serve").reflection, true);
    assert.equal(readConfig({ REFLECTION: "off" }, "serve").reflection, false);
    assert.equal(readConfig({ AUTH: "on" }, "serve").reflection, false);
    assert.equal(readConfig({ AUTH: "on", REFLECTION: "on" }, "serve").reflection, true);
  });

  test("no call may last longer than any, and no caller take more than there is", () => {
    assert.deepEqual(faultsOf({ DEFAULT_DEADLINE: "1m", MAX_DEADLINE: "30s" }), ["DEFAULT_DEADLINE"]);
    assert.deepEqual(faultsOf({ MAX_DEADLINE: "29s" }), ["DEFAULT_DEADLINE"]);
    assert.deepEqual(faultsOf({ MAX_STREAMS: "10", MAX_STREAMS_PER_CALLER: "11" }), [
      "MAX_STREAMS_PER_CALLER",
    ]);
    const { limits } = readConfig({ MAX_CONCURRENT_CALLS: "10", MAX_STREAMS: "20" }, "serve");
    assert.equal(limits.maxConcurrentCallsPerCaller, 10);
    assert.equal(limits.maxStreamsPerCaller, 20);
  });

  test("a rate is so many a second, and twice as many at once unless it says how many", () => {
    const rateOf = (text: string) =>
      readConfig({ RATE_LIMIT_PER_PRINCIPAL: text }, "serve").limits.principalRate;
    assert.deepEqual(rateOf("100/s"), { perSecond: 100, atOnce: 200 });
    assert.deepEqual(rateOf("100/s+5"), { perSecond: 100, atOnce: 5 });
    assert.deepEqual(rateOf("30/m"), { perSecond: 0.5, atOnce: 1 });
    assert.equal(rateOf("off"), undefined);
  });

  test("traces go nowhere until somebody says where", () => {
    assert.equal(readConfig({}, "serve").tracing, undefined);
    const variables = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318/",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Basic%20abc%3D, x-tenant=7",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    };
    assert.deepEqual(readConfig(variables, "serve").tracing, {
      endpoint: "http://127.0.0.1:4318",
      headers: { authorization: "Basic abc=", "x-tenant": "7" },
      serviceName: "user-bridge",
      resourceAttributes: { "deployment.environment.name": "test" },
      sampleRatio: 0.25,
    });
  });

  test("a process with a wrong environment names all faults and exits 1 without a stack trace", async () => {
    const { code, stderr } = await runCommand(["serve"], { LISTEN: "nowhere", DRAIN_TIMEOUT: "soon" });
    assert.equal(code, 1);
    assert.match(stderr, /LISTEN: .*\n.*DRAIN_TIMEOUT: /);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
});
