import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { cleanUpAfter } from "../support/clean-up.ts";
import { backends } from "../support/databases.ts";
import { startTestApp } from "../support/test-app.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const tsc = join(root, "node_modules/typescript/bin/tsc");

const program = `
import { createUserBridgeClient, type FollowStatus, followUserEvents, type User } from "user-bridge/client";
import { createNodeTransport } from "user-bridge/client/node";

const baseUrl = process.argv[2] ?? "";
const transport = createNodeTransport({ baseUrl });
const statuses: FollowStatus[] = [];
for (const client of [createUserBridgeClient({ baseUrl }), createUserBridgeClient({ transport })]) {
  const name = "user" + statuses.length;
  await client.registerUser({ email: name + "@example.com", username: name });
  const user: User | undefined = (await client.getUser({ username: name })).user;
  const following = followUserEvents(client, { start: "earliest", onStatus: (status) => statuses.push(status) });
  for await (const { payload } of following) {
    if (payload?.id === user?.id) break;
  }
}
transport.close();
console.log(statuses.map((status) => status.state).join());
`;

/** What `npm pack` makes of a fresh build, in a folder of its own: nothing is written to the tree. */
async function pack(folder: string): Promise<string> {
  const staging = join(folder, "staging");
  await mkdir(staging);
  for (const name of ["package.json", "README.md", "bin", "proto", "third_party"]) {
    await cp(join(root, name), join(staging, name), { recursive: true });
  }
  const dist = join(staging, "dist");
  await run(process.execPath, [
    ...[tsc, "-p", join(root, "tsconfig.build.json")],
    ...["--outDir", dist, "--declarationDir", join(dist, "types")],
  ]);
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
    cwd: staging,
  });
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>);
  return join(folder, packed?.filename ?? "");
}

/** Unpacks it as npm would, beside the dependencies that it declares and nothing else. */
async function install(archive: string, project: string): Promise<void> {
  const modules = join(project, "node_modules");
  const target = join(modules, "user-bridge");
  await mkdir(target, { recursive: true });
  await run("tar", ["-xzf", archive, "-C", target, "--strip-components=1"]);
  const { dependencies } = JSON.parse(await readFile(join(target, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const name of [...Object.keys(dependencies), "@types/node"]) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
}

test("the packed package's client type-checks and runs in a project that has installed it", async (t) => {
  const [backend] = backends;
  assert.ok(backend);
  const folder = await mkdtemp(join(tmpdir(), "user-bridge-package-"));
  cleanUpAfter(t, () => rm(folder, { recursive: true, force: true }));
  const project = join(folder, "project");
  await install(await pack(folder), project);
  await writeFile(join(project, "package.json"), '{"type":"module"}');
  await writeFile(join(project, "program.ts"), program);
  await writeFile(
    join(project, "tsconfig.json"),
    JSON.stringify({
      // No skipLibCheck: the package's declarations must hold, too.
      compilerOptions: { module: "nodenext", strict: true, target: "es2022", outDir: "out", types: ["node"] },
      include: ["program.ts"],
    }),
  );
  await run(process.execPath, [tsc, "-p", project]);
  const app = await startTestApp((end) => cleanUpAfter(t, end), backend);
  const { stdout } = await run(process.execPath, [join(project, "out/program.js"), app.url], {
    timeout: 30_000,
  });
  assert.equal(stdout, "live,live\n");
});
