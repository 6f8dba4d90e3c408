import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { cleanUpAfter } from "../support/clean-up.ts";
import { createApiKey } from "../support/credentials.ts";
import { backends } from "../support/databases.ts";
import { startGuardedApp } from "../support/test-app.ts";
import { skipWithoutChromium, startBrowser } from "./browser.ts";
import { openExamplePage } from "./example-page.ts";
import { servePages } from "./pages.ts";

const [backend] = backends;
assert.ok(backend);

describe("a page whose server asks who calls", { skip: skipWithoutChromium }, () => {
  test("says so, and works with a credential, over both protocols", async (t) => {
    const app = await startGuardedApp(
      (end) => cleanUpAfter(t, end),
      backend,
      {},
      (database) => createApiKey(database, ["users:read", "users:write", "events:read"]),
    );
    const browser = await startBrowser((end) => cleanUpAfter(t, end));
    const pages = await servePages();
    cleanUpAfter(t, pages.close);
    for (const protocol of ["grpc-web", "connect"] as const) {
      const visit = await openExamplePage(browser, `http://localhost:${pages.port}`, app.url, protocol);
      const refused = (text: string) =>
        visit.page
          .locator("#status[data-state=refused]")
          .waitFor()
          .then(async () => assert.match(await visit.place(), new RegExp(text)));
      const show = async (text: string) => {
        await visit.page.fill("#credential", text);
        await visit.page.press("#credential", "Enter");
      };
      await refused("asks who you are");
      await show(app.prepared.secret);
      await visit.untilState("live");
      const username = `shown_${protocol.replace("-", "_")}`;
      assert.equal(await visit.register(username), `Registered ${username}`);
      await visit.page.locator("#events li").waitFor();
      await show("ubk_nonsense");
      await refused("not good");
      await show(app.token);
      await visit.untilState("live", "resumed");
      assert.ok(visit.console.every((text) => !text.includes(app.prepared.secret)));
    }
  });
});
