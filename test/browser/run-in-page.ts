/**
 * Tests in a real browser. `useBrowser` gives a test file a site with the file's page modules (`pages/<name>.ts`) bundled; a tab of it
 * calls their exported functions with JSON and gets JSON, or the error, back; `pageSuite` makes one vitest test of every case of a page
 * module's suite, all on one loaded page. Where no Chromium can run, each test is skipped with the reason.
 */
import { afterAll, describe, it } from "vitest";
import { onDemand } from "../more.ts";
import { type Bundle, bundle } from "./bundle.ts";
import type { Chromium, WatchedPage } from "./chromium.ts";
import { collectCases, type PageSuite } from "./pages/cases.ts";
import type { PageHarness } from "./pages/harness.ts";
import type { Call, Outcome, WireError } from "./pages/runner.ts";
import { requireChromium } from "./shared-chromium.ts";
import { Site } from "./site.ts";

export type Place = "page" | "worker";

/** What a test hands over, so that it can be skipped: vitest's context. */
export interface TestContext {
  skip(reason: string): unknown;
}

export interface BrowserOptions {
  /** Page modules by name: "core" is pages/core.ts. */
  readonly pages: readonly string[];
  /** Further scripts, such as workers that the code under test starts: name → source, a path from the project's root. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Cross-origin isolated pages (SharedArrayBuffer). Default false. */
  readonly isolated?: boolean;
}

/** An error of a page, with the code and details that it had there. */
export class PageError extends Error {
  override readonly name: string;
  readonly code: string | number | undefined;
  readonly details: unknown;
  /** The stack in the page, by places in the sources. */
  readonly pageStack: string;

  constructor(error: WireError, pageStack: string, report: string) {
    super(`${error.message}${report}`);
    this.name = error.name;
    this.code = error.code;
    this.details = error.details;
    this.pageStack = pageStack;
  }
}

/** The exported functions of a page module, as they are called from here. */
export type Remote<M> = {
  readonly [K in keyof M as M[K] extends PageFunction ? K : never]: M[K] extends PageFunction
    ? (...args: Parameters<M[K]>) => ReturnType<M[K]>
    : never;
};

type PageFunction = (args: never) => Promise<unknown>;

export interface RunOptions {
  /** Default "page". */
  readonly where?: Place;
  /** After so long a call has failed and its tab is done for. Default 50,000: less than a test may take. */
  readonly timeoutMs?: number;
}

/** One tab. */
export class Tab {
  readonly watched: WatchedPage;
  readonly #bundle: Bundle;
  #broken: string | undefined;

  constructor(watched: WatchedPage, made: Bundle) {
    this.watched = watched;
    this.#bundle = made;
  }

  /** Whether a call never ended here: everything after it would wait, too. */
  get broken(): boolean {
    return this.#broken !== undefined || this.watched.page.isClosed();
  }

  /** `tab.module<typeof import("./pages/core.ts")>("core").someFunction({…})`. Arguments and results cross as JSON. */
  module<M>(name: string, options: RunOptions = {}): Remote<M> {
    return new Proxy({} as Remote<M>, {
      get: (_target, property) => (args?: unknown) =>
        this.run({ module: name, kind: "function", name: String(property), args }, options),
    });
  }

  /** @throws PageError */
  async run(call: Call, { where = "page", timeoutMs = 50_000 }: RunOptions = {}): Promise<unknown> {
    if (this.#broken !== undefined) throw new Error(`this tab is done for: ${this.#broken}; open another`);
    const outcome = await this.#withTimeout(call, timeoutMs, this.#evaluate(call, where));
    if (outcome.kind === "value") return outcome.value;
    if (outcome.kind === "skipped") throw new SkippedInPage(outcome.reason);
    throw this.#pageError(outcome.error);
  }

  async close(): Promise<void> {
    await this.watched.page.close();
  }

  async #evaluate(call: Call, where: Place): Promise<Outcome> {
    try {
      return await this.watched.page.evaluate(
        ([what, place]) => {
          const { pagefoldHarness } = globalThis as unknown as { pagefoldHarness?: PageHarness };
          if (pagefoldHarness === undefined)
            throw new Error("the harness did not load; see the page's console");
          return pagefoldHarness.call(what, place);
        },
        [call, where] as const,
      );
    } catch (error) {
      if (/Target crashed/.test((error as Error).message))
        this.#broken ??= `its page crashed in ${call.name}`;
      throw new Error(`${call.name}: ${(error as Error).message}${this.#report()}`, { cause: error });
    }
  }

  async #withTimeout(call: Call, timeoutMs: number, running: Promise<Outcome>): Promise<Outcome> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        this.#broken = `${call.name} did not end within ${timeoutMs} ms`;
        reject(new Error(`${this.#broken}${this.#report()}`));
      }, timeoutMs);
    });
    // The tab is closed under a call that is too late, which then fails to no one.
    running.catch(() => {});
    try {
      return await Promise.race([running, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #pageError(error: WireError): PageError {
    const stack = this.#bundle.mapStack(error.stack ?? "");
    const frames = stack.split("\n").filter((line) => /^\s+at /.test(line) && !HARNESS_FRAME.test(line));
    const inPage = frames.length === 0 ? "" : `\n\nin the page:\n${frames.slice(0, 12).join("\n")}`;
    return new PageError(error, stack, `${inPage}${causesOf(error)}${this.#report()}`);
  }

  #report(): string {
    const { lines } = this.watched;
    return lines.length === 0
      ? ""
      : `\n\nconsole of the page:\n${lines.map((line) => `  ${line}`).join("\n")}`;
  }
}

/** A case that its page skipped; the message is the reason. */
export class SkippedInPage extends Error {}

/** Frames of the harness in the page, which say nothing about the failure. */
const HARNESS_FRAME = /test\/browser\/pages\/(runner|harness[\w-]*)\.ts|<anonymous>/;

function causesOf(error: WireError): string {
  let text = "";
  for (let cause = error.cause; cause !== undefined; cause = cause.cause)
    text += `\n  caused by ${cause.name}: ${cause.message}`;
  return text;
}

const INDEX =
  '<!doctype html><meta charset="utf-8"><title>test</title><script type="module" src="/app/harness.js"></script>';

/** One site and its tabs, for one test file. Nothing is started before it is asked for. */
export class BrowserSite {
  readonly #options: BrowserOptions;
  #started: Promise<{ site: Site; bundle: Bundle }> | undefined;
  readonly #tabs = new Set<Tab>();

  constructor(options: BrowserOptions) {
    this.#options = options;
  }

  /** The server: its object spaces, latency, interventions and counts. */
  async site(): Promise<Site> {
    return (await this.#start()).site;
  }

  /** A new tab. Skips the test where no Chromium can run. It is closed at the end of the file, if not before. */
  async open(context: TestContext): Promise<Tab> {
    return this.openIn(await requireChromium(context));
  }

  /** The same in a browser of the test's own. */
  async openIn(browser: Pick<Chromium, "open">): Promise<Tab> {
    const { site, bundle: made } = await this.#start();
    const tab = new Tab(await browser.open(`${site.origin}/`), made);
    this.#tabs.add(tab);
    return tab;
  }

  async close(): Promise<void> {
    for (const tab of this.#tabs) await tab.close();
    this.#tabs.clear();
    const started = this.#started;
    this.#started = undefined;
    if (started !== undefined) await (await started).site.close();
  }

  #start(): Promise<{ site: Site; bundle: Bundle }> {
    this.#started ??= this.#make();
    return this.#started;
  }

  async #make(): Promise<{ site: Site; bundle: Bundle }> {
    const { pages, scripts = {}, isolated = false } = this.#options;
    const entries: Record<string, string> = {
      harness: "test/browser/pages/harness.ts",
      "harness-worker": "test/browser/pages/harness-worker.ts",
      ...scripts,
    };
    for (const page of pages) entries[page] = `test/browser/pages/${page}.ts`;
    const made = await bundle(entries);
    const site = await Site.start({ isolated, files: made.files });
    site.addFile("/", INDEX);
    return { site, bundle: made };
  }
}

/** To be called at the top of a test file or in a `describe`; closes what it opened after the last test there. */
export function useBrowser(options: BrowserOptions): BrowserSite {
  const browser = new BrowserSite(options);
  afterAll(() => browser.close());
  return browser;
}

/** One vitest test for every case of `suite`, which pages/<module>.ts exports under that name; all run on one tab. */
export function pageSuite(
  browser: BrowserSite,
  module: string,
  suite: PageSuite,
  options: RunOptions & { readonly isRare?: (name: string) => boolean } = {},
): void {
  const { where = "page" } = options;
  describe(`in a ${where}`, () => {
    let tab: Tab | undefined;
    for (const { name } of collectCases(suite)) {
      it(name, async (context) => {
        if (options.isRare?.(name)) onDemand(context);
        if (tab?.broken) {
          await tab.close();
          tab = undefined;
        }
        tab ??= await browser.open(context);
        try {
          await tab.run({ module, kind: "case", name }, { ...options, where });
        } catch (error) {
          if (!(error instanceof SkippedInPage)) throw error;
          context.skip(error.message);
        }
      });
    }
  });
}
