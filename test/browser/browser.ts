import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";

const executablePath = process.env["CHROMIUM_PATH"] || "/usr/bin/chromium";

/** Why the tests of browsers are left out; false where they can run. */
export const skipWithoutChromium: string | false = existsSync(executablePath)
  ? false
  : `no ${executablePath}: install Chromium (Debian: apt install chromium) or set CHROMIUM_PATH`;

/** Starts a headless Chromium that keeps to itself, with a profile of its own. */
export async function startBrowser(cleanUp: (end: () => Promise<unknown>) => void): Promise<BrowserContext> {
  const profile = await mkdtemp(join(tmpdir(), "user-bridge-chromium-"));
  cleanUp(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  cleanUp(() => browser.close());
  return browser;
}
