/** One browser per test worker: started by the first test that needs it, closed after the file's last test, even a failed one. */
import { afterAll } from "vitest";
import { type Chromium, launchChromium } from "./chromium.ts";

let shared: ReturnType<typeof launchChromium> | undefined;

/** The browser of this test worker, or why it has none: then the test is to be skipped with that reason. */
export function sharedChromium(): ReturnType<typeof launchChromium> {
  shared ??= launchChromium();
  return shared;
}

/** The same for a test: skips it, with the reason, where no browser can run. */
export async function requireChromium(context: { skip(reason: string): unknown }): Promise<Chromium> {
  const browser = await sharedChromium();
  if (!("unavailable" in browser)) return browser;
  context.skip(browser.unavailable);
  throw new Error("unreachable: skipping throws");
}

afterAll(async () => {
  const browser = await shared?.catch(() => undefined);
  shared = undefined;
  if (browser !== undefined && "close" in browser) await browser.close();
});
