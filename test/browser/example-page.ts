import assert from "node:assert/strict";
import type { BrowserContext, Page } from "playwright-core";

/** The example page in a browser, as its visitors use it. */
export interface ExamplePage {
  readonly protocol: "grpc-web" | "connect";
  /** What the browser's console has said. */
  readonly console: readonly string[];
  /** @returns the outcome that the page shows */
  register(username: string): Promise<string>;
  lookUp(key: string): Promise<string>;
  untilState(state: "live" | "reconnecting", text?: string): Promise<void>;
  place(): Promise<string>;
  /** Waits for an event and checks that the list is whole: newest first, each once, none left out. */
  untilShown(revision: bigint): Promise<string[]>;
  page: Page;
}

/** Opens the page of one origin and has it call the server of another. */
export async function openExamplePage(
  browser: BrowserContext,
  origin: string,
  server: string,
  protocol: ExamplePage["protocol"],
): Promise<ExamplePage> {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(`${origin}/?${new URLSearchParams({ server, protocol })}`);

  async function submit(form: string, values: Readonly<Record<string, string>>, output: string) {
    for (const [name, value] of Object.entries(values)) await page.fill(`${form} [name=${name}]`, value);
    await page.click(`${form} [type=submit]`);
    const outcome = page.locator(`${output}:not(:empty)`);
    await outcome.waitFor();
    return (await outcome.textContent()) ?? "";
  }

  return {
    protocol,
    console: said,
    page,
    register: (username) =>
      submit("#register", { email: `${username}@example.com`, username }, "#registered"),
    lookUp: async (key) => {
      const outcome = await submit("#look-up", { key }, "#found");
      return `${outcome} ${await page.locator("#user").textContent()}`;
    },
    untilState: (state, text = "") =>
      page.locator(`#status[data-state=${state}]`, { hasText: text }).waitFor(),
    place: async () => (await page.locator("#place").textContent()) ?? "",
    async untilShown(revision) {
      await page.locator(`#events [data-revision="${revision}"]`).waitFor();
      const rows = await page.locator("#events li .revision").allInnerTexts();
      const last = Number(revision);
      assert.deepEqual(
        rows,
        rows.map((_, index) => String(last - index)),
      );
      return rows;
    },
  };
}
