/**
 * Starts a real Chromium with a profile of its own on disk (so that OPFS is the real one, not the in-memory one of a private window) and
 * ends it without a trace. What pages say on the console or fail with is kept per page, for the messages of failing tests. Knows no test
 * framework; tests share one browser through `shared-chromium.ts`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { bundledLibraries, findExecutable } from "./chromium-executable.ts";

/** It talks to the loopback interface only: no updates, no reports, no name is looked up. */
const ARGUMENTS: readonly string[] = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--no-first-run",
  "--no-pings",
  "--no-proxy-server",
];

/** What a system says that lacks a library, has too old a C library, or may not run what was unpacked. */
const CANNOT_RUN_HERE =
  /error while loading shared libraries: [^\n]*|version `GLIBC[^\n]*not found[^\n]*|spawn [^\n]*(?:EACCES|ENOEXEC)/;

/** Why a failed launch is this machine's lack rather than a fault; undefined for every other failure, which must not pass for a skip. */
export function whyNotHere(launchError: string): string | undefined {
  return CANNOT_RUN_HERE.exec(launchError)?.[0];
}

/** Lines of a page's console that are kept: the last ones say why a test failed. */
const LINES_MAX = 100;

export class WatchedPage {
  readonly page: Page;
  readonly #lines: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      const { url, lineNumber } = message.location();
      // The browser notes every answer of 400 and above; an absent object or a lost race is none to note.
      if (url.includes("/objects/") && message.text().startsWith("Failed to load resource")) return;
      this.#add(`${message.type()}: ${message.text()}${url === "" ? "" : ` (${url}:${lineNumber + 1})`}`);
    });
    page.on("pageerror", (error) => this.#add(`uncaught: ${error.stack ?? error.message}`));
    page.on("crash", () => this.#add("the page crashed"));
  }

  /** What was said so far, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  #add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
  }
}

export interface Chromium {
  readonly version: string;
  /** Directory of its profile, while it runs. */
  readonly profile: string;
  readonly context: BrowserContext;
  /** A new tab on `url`, once it has loaded. Tabs of one origin share their storage and locks. */
  open(url: string): Promise<WatchedPage>;
  /** Ends every process of it and removes the profile; idempotent. */
  close(): Promise<void>;
}

export interface LaunchOptions {
  /** A private window: nothing outlives it. Default false. */
  readonly incognito?: boolean;
}

/** Starts a browser of the caller's own. Tests share one: `sharedChromium`. */
export async function launchChromium(
  options: LaunchOptions = {},
): Promise<Chromium | { readonly unavailable: string }> {
  const executable = await findExecutable();
  if ("unavailable" in executable) return executable;
  const first = await tryLaunch(executable.path, {}, options);
  if (!("cannotRun" in first)) return first;
  if (executable.chosen) throw new Error(`PAGEFOLD_TEST_CHROMIUM does not start: ${first.cannotRun}`);
  const second = await tryLaunch(executable.path, { LD_LIBRARY_PATH: await bundledLibraries() }, options);
  if (!("cannotRun" in second)) return second;
  return {
    unavailable:
      `Chromium cannot run here, not even with the libraries that it brings (${second.cannotRun}); ` +
      "install libnss3 and libexpat1, or name another browser with PAGEFOLD_TEST_CHROMIUM",
  };
}

async function tryLaunch(
  executablePath: string,
  environment: Readonly<Record<string, string>>,
  options: LaunchOptions,
): Promise<Chromium | { readonly cannotRun: string }> {
  const profile = mkdtempSync(join(tmpdir(), "pagefold-chromium-"));
  const removeProfile = () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  // A worker that ends without its hooks leaves nothing either; the driver kills the browser at exit by itself.
  process.once("exit", removeProfile);
  let context: BrowserContext;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      args: [...ARGUMENTS, ...(options.incognito === true ? ["--incognito"] : [])],
      env: { ...process.env, ...environment },
      timeout: 50_000,
    });
  } catch (error) {
    process.off("exit", removeProfile);
    removeProfile();
    const cannotRun = whyNotHere(String(error));
    if (cannotRun !== undefined) return { cannotRun };
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    version: context.browser()?.version() ?? "unknown",
    profile,
    context,
    open: async (url) => {
      const watched = new WatchedPage(await context.newPage());
      const response = await watched.page.goto(url);
      if (response?.ok() !== true)
        throw new Error(`${url} answered ${response?.status() ?? "nothing"}; is the site up?`);
      return watched;
    },
    close: () => {
      closing ??= context.close().then(() => {
        process.off("exit", removeProfile);
        removeProfile();
      });
      return closing;
    },
  };
}
