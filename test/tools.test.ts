import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { backends } from "./support/databases.ts";
import { useTestApp } from "./support/test-app.ts";

const toolPath = [join(import.meta.dirname, "../node_modules/.bin"), process.env["PATH"] ?? ""].join(
  delimiter,
);

/** Why a test of a tool is left out, or false where the tool is there. */
function missing(tool: string, install: string): string | false {
  const found = spawnSync("which", [tool], { env: { PATH: toolPath } }).status === 0;
  return found ? false : `${tool} is not installed: ${install}`;
}

async function run(tool: string, ...args: string[]) {
  const { HOME = "" } = process.env;
  const child = spawn(tool, args, { env: { PATH: toolPath, HOME }, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { code: code as number, stdout, stderr };
}

describe("tools that others wrote, without any .proto file", () => {
  const [embedded] = backends;
  assert.ok(embedded);
  const app = useTestApp(embedded);
  const address = () => new URL(app.url).host;

  test("buf curl lists and calls over all three protocols", async () => {
    const http2 = "--http2-prior-knowledge";
    const list = await run("buf", "curl", http2, "--list-methods", app.url);
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, /users\.v1\.UserService\/StreamUserEvents/);
    for (const protocol of ["grpc", "grpcweb", "connect"]) {
      const url = `${app.url}/users.v1.UserService`;
      const user = JSON.stringify({ email: `${protocol}@example.com`, username: protocol });
      const registered = await run(
        "buf",
        "curl",
        http2,
        "--protocol",
        protocol,
        "-d",
        user,
        `${url}/RegisterUser`,
      );
      assert.equal(registered.code, 0, registered.stderr);
      assert.equal(JSON.parse(registered.stdout).username, protocol);
      const taken = await run(
        "buf",
        "curl",
        http2,
        "--protocol",
        protocol,
        "-d",
        user,
        `${url}/RegisterUser`,
      );
      assert.notEqual(taken.code, 0);
      assert.match(taken.stderr, /already_exists/);
    }
  });

  test("grpcurl lists, describes, calls and shows errors with their details", {
    skip: missing("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"),
  }, async () => {
    const list = await run("grpcurl", "-plaintext", address(), "list");
    assert.deepEqual(list.stdout.trim().split("\n"), [
      "access.v1.AccessService",
      "apikeys.v1.ApiKeyService",
      "audit.v1.AuditService",
      "auth.AuthService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "user.UserService",
      "users.v1.UserService",
    ]);
    const described = await run("grpcurl", "-plaintext", address(), "describe", "users.v1.GetUserRequest");
    assert.match(described.stdout, /string email = 1/);
    const service = "users.v1.UserService";
    const user = '{"email":"curl@example.com","username":"curl"}';
    assert.equal(
      (await run("grpcurl", "-plaintext", "-d", user, address(), `${service}/RegisterUser`)).code,
      0,
    );
    const taken = await run("grpcurl", "-plaintext", "-d", user, address(), `${service}/RegisterUser`);
    assert.match(taken.stderr, /AlreadyExists.*EMAIL_TAKEN/s);
    const unknown = await run("grpcurl", "-plaintext", address(), `${service}/Nothing`);
    assert.notEqual(unknown.code, 0);
  });

  test("grpc-health-probe finds the service serving", {
    skip: missing("grpc-health-probe", "go install github.com/grpc-ecosystem/grpc-health-probe@latest"),
  }, async () => {
    for (const service of ["", "users.v1.UserService"]) {
      const probe = await run("grpc-health-probe", "-addr", address(), "-service", service);
      assert.equal(probe.code, 0, probe.stderr);
    }
    assert.notEqual((await run("grpc-health-probe", "-addr", address(), "-service", "nothing")).code, 0);
  });
});
