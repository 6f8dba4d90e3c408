import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseEnv } from "node:util";
import { ConfigError, configVariables, readConfig } from "../src/platform/config.ts";
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
      TLS_CERT: "a.pem",
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
      KEY_ENCRYPTION_KEY: "hunter2",
      ACCESS_TOKEN_TTL: "2d",
      SIGNING_KEY_ROTATION: "1s",
      PASSWORD_ITERATIONS: "0",
    };
    const expected = [...Object.keys(variables).filter((name) => name !== "TLS_CERT"), "TLS_CERT, TLS_KEY"];
    assert.deepEqual(faultsOf(variables).sort(), [...expected].sort());
    assert.throws(
      () => readConfig(variables, "serve"),
      (error: Error) => !error.message.includes("hunter2"),
    );
  });

  test("AUTH=off is refused outside loopback, and AUTH=on until credentials exist", () => {
    for (const host of ["0.0.0.0", "[::]", "192.168.1.7", "bridge.internal"]) {
      assert.deepEqual(faultsOf({ LISTEN: `${host}:8080` }), ["AUTH"], host);
    }
    for (const host of ["127.0.0.1", "127.0.0.2", "[::1]", "localhost"]) {
      assert.deepEqual(faultsOf({ LISTEN: `${host}:8080` }), [], host);
    }
    assert.deepEqual(faultsOf({ AUTH: "on" }), ["AUTH"]);
    assert.deepEqual(faultsOf({ DATABASE_URL: "postgres://db/x" }), ["AUTH"]);
    assert.deepEqual(faultsOf({ DATABASE_URL: "postgres://db/x", AUTH: "off" }), []);
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

  test("reflection is on where AUTH=off, unless it is switched off", () => {
    assert.equal(readConfig({}, "serve").reflection, true);
    assert.equal(readConfig({ REFLECTION: "off" }, "serve").reflection, false);
  });

  test("a process with a wrong environment names all faults and exits 1 without a stack trace", async () => {
    const { code, stderr } = await runCommand(["serve"], { LISTEN: "nowhere", DRAIN_TIMEOUT: "soon" });
    assert.equal(code, 1);
    assert.match(stderr, /LISTEN: .*\n.*DRAIN_TIMEOUT: /);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
});
