import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Code } from "@connectrpc/connect";
import type { BrowserContext } from "playwright-core";
import { createNodeTransport } from "../../src/client/node.ts";
import { createUserBridgeClient, type UserBridgeClient } from "../../src/client/user-bridge-client.ts";
import { type RestartableServer, startRestartableServer } from "../clients/restartable-server.ts";
import { backends } from "../support/databases.ts";
import { skipWithoutChromium, startBrowser } from "./browser.ts";
import { type ExamplePage, openExamplePage } from "./example-page.ts";
import { servePages } from "./pages.ts";

/** BROWSER_TEST_MINUTES=5 restarts the server for so long; without it, once by each signal. */
const minutes = Number(process.env["BROWSER_TEST_MINUTES"] ?? 0);

/** The page forgets the oldest beyond these. */
const rowsKept = 1_000;

const protocols = ["grpc-web", "connect"] as const;
const [backend] = backends;
assert.ok(backend);

describe("a page in Chromium, from another origin", { skip: skipWithoutChromium }, () => {
  const cleanUps = new AsyncDisposableStack();
  let bridge: RestartableServer;
  let browser: BrowserContext;
  let users: UserBridgeClient;
  let pagePort: number;
  /** How many events there are: each call below that changes something makes one. */
  let revision = 0n;

  before(async () => {
    const database = await backend.create();
    cleanUps.defer(database.drop);
    const cleanUp = (end: () => Promise<unknown>) => cleanUps.defer(async () => void (await end()));
    [bridge, browser] = await Promise.all([
      startRestartableServer(cleanUp, database.variables),
      startBrowser(cleanUp),
    ]);
    const pages = await servePages();
    cleanUps.defer(pages.close);
    pagePort = pages.port;
    const transport = createNodeTransport({ baseUrl: bridge.url });
    cleanUps.defer(async () => transport.close());
    users = createUserBridgeClient({ transport });
  });
  after(() => cleanUps.disposeAsync());

  async function registerElsewhere(count: number): Promise<void> {
    for (let number = 0; number < count; number++) {
      revision += 1n;
      const username = `elsewhere${revision}`;
      await users.registerUser({ email: `${username}@example.com`, username });
    }
  }

  const openPage = (host: string, protocol: ExamplePage["protocol"]) =>
    openExamplePage(browser, `http://${host}:${pagePort}`, bridge.url, protocol);

  test("registers, looks up and shows each event once, also when the server is restarted, over both protocols", async () => {
    const pages = await Promise.all(protocols.map((protocol) => openPage("localhost", protocol)));
    const onAll = (step: (page: ExamplePage) => Promise<unknown>) => Promise.all(pages.map(step));
    await onAll((page) => page.untilState("live"));

    for (const page of pages) {
      const username = `page_${page.protocol.replace("-", "_")}`;
      assert.equal(await page.register(username), `Registered ${username}`);
      revision += 1n;
      assert.match(await page.lookUp(username), new RegExp(`^Active[^]*${username}@example.com`));
      assert.equal(await page.register(username), "Somebody has this email already.");
    }

    const endsAt = performance.now() + minutes * 60_000;
    do {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        await registerElsewhere(10);
        await onAll((page) => page.untilShown(revision));
        const behind = revision;
        await bridge.stop(signal);
        await onAll((page) => page.untilState("reconnecting"));
        await bridge.start();
        await registerElsewhere(1);
        await onAll(async (page) => {
          await page.untilState("live", "resumed");
          assert.match(await page.place(), new RegExp(`^behind event ${behind}, from cursor `));
          await page.untilShown(revision);
        });
      }
    } while (performance.now() < endsAt);

    for (const page of pages) {
      assert.equal((await page.untilShown(revision)).length, Math.min(Number(revision), rowsKept));
    }
  });

  test("goes on behind the same cursor after a reload, and over the other protocol", async () => {
    const page = await openPage("127.0.0.1", "grpc-web");
    await page.untilState("live");
    await registerElsewhere(1);
    await page.untilShown(revision);
    await page.page.check("[value=connect]", { force: true });
    await page.untilState("live", "resumed");
    await registerElsewhere(1);
    assert.equal((await page.untilShown(revision)).length, 2);
    await page.page.goto("about:blank");
    await registerElsewhere(3);
    await page.page.goBack();
    await page.untilState("live", "resumed");
    assert.equal((await page.untilShown(revision)).length, 3);
  });

  test("of an origin that is not allowed is refused by CORS, and changes nothing", async () => {
    // Chromium resolves it to this machine; the server allows no more than the names of this machine alone.
    for (const protocol of protocols) {
      const page = await openPage("blocked.localhost", protocol);
      await page.untilState("reconnecting");
      assert.match(await page.register("blocked"), /^No answer/);
      assert.ok(page.console.some((text) => /blocked by CORS policy/.test(text)));
      await page.page.close();
    }
    const { users: found } = await users.listUsers({ pageSize: 1_000 });
    assert.ok(found.every((user) => user.username !== "blocked"));
  });

  test("with the classic grpc-web client speaks its text form: calls, errors, and a stream that grows", async () => {
    const page = await browser.newPage();
    await page.goto(`http://localhost:${pagePort}/grpc-web-text.html`);
    const run = (call: string) => page.evaluate<unknown>(`page.${call}`);
    const server = JSON.stringify(bridge.url);
    await run(`register(${server}, "classic")`);
    revision += 1n;
    assert.equal(await run(`findEmail(${server}, "classic")`), "classic@example.com");
    assert.equal(await run(`registerInVain(${server}, "classic")`), `${Code.AlreadyExists} EMAIL_TAKEN`);

    await page.evaluate(`seen = page.follow(${server}, "")`);
    await page.waitForFunction(`seen.revisions.length >= ${revision}`);
    await registerElsewhere(5);
    await page.waitForFunction(`seen.revisions.length >= ${revision}`);
    const revisions = Array.from({ length: Number(revision) }, (_, index) => index + 1);
    assert.deepEqual(await page.evaluate("seen.revisions"), revisions);

    await page.evaluate("seen.leave()");
    await registerElsewhere(2);
    await page.evaluate(`resumed = page.follow(${server}, seen.cursors.at(-1))`);
    await page.waitForFunction("resumed.revisions.length >= 2");
    assert.deepEqual(await page.evaluate("resumed.revisions"), [Number(revision) - 1, Number(revision)]);
    assert.deepEqual(await page.evaluate("seen.revisions"), revisions);
    await page.evaluate(`refused = page.follow(${server}, "made up")`);
    await page.waitForFunction(`refused.ending === "${Code.InvalidArgument}"`);
  });
});
