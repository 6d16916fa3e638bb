/** The harness itself: what comes back from a page, how failures show, what hangs, and that no browser outlives its test. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import type { TestApi } from "../contracts/object-store.ts";
import { launchChromium, whyNotHere } from "./chromium.ts";
import { findExecutable, tarEntries } from "./chromium-executable.ts";
import { collectCases } from "./pages/cases.ts";
import * as misbehaviour from "./pages/misbehaviour.ts";
import { root } from "./root.ts";
import { PageError, SkippedInPage, useBrowser } from "./run-in-page.ts";
import { requireChromium } from "./shared-chromium.ts";

const browser = useBrowser({ pages: ["misbehaviour"] });

async function failureOf(work: Promise<unknown>): Promise<PageError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof PageError)) throw new Error(`expected an error of the page, got ${String(error)}`);
  return error;
}

for (const where of ["page", "worker"] as const) {
  describe(`a call in a ${where}`, () => {
    const open = async (context: { skip(reason: string): unknown }) => {
      const tab = await browser.open(context);
      return { tab, page: tab.module<typeof misbehaviour>("misbehaviour", { where, timeoutMs: 15_000 }) };
    };

    it("takes and gives JSON", async (context) => {
      const { page } = await open(context);
      const value = { text: "\u2028é\u{1f4c4}", list: [1, null, true], deep: { a: { b: 2 ** 53 } } };
      expect(await page.echo(value)).toEqual(value);
    });

    it("fails with the error of the page: code, details, place in the sources, causes, console", async (context) => {
      const { page } = await open(context);
      const error = await failureOf(page.fail({ message: "stale" }));
      expect(error).toMatchObject({ name: "PagefoldError", code: "conflict", details: { lsn: 7 } });
      expect(error.message).toMatch(/^stale\n/);
      const line = lineOf("test/browser/pages/misbehaviour.ts", 'new PagefoldError("conflict"');
      expect(error.message).toContain(`test/browser/pages/misbehaviour.ts:${line}:`);
      expect(error.message).toContain("caused by Error: an older snapshot");
      expect(error.message).toContain("caused by TypeError: the first cause");
      expect(error.message).toContain("log: about to fail with stale");
    });

    it("fails on a rejection that nobody caught", async (context) => {
      const { page } = await open(context);
      const error = await failureOf(page.leaveRejection());
      expect(error.message).toContain("nobody waits for this");
      expect(await page.echo(1), "the next call is not blamed").toBe(1);
    });

    for (const name of ["hang", "spin"] as const) {
      it(`that does not end (${name}) fails in time, and its tab says why it is of no more use`, async (context) => {
        const { tab, page } = await open(context);
        const quick = tab.module<typeof misbehaviour>("misbehaviour", { where, timeoutMs: 300 });
        await expect(quick[name]()).rejects.toThrow(`${name} did not end within 300 ms`);
        expect(tab.broken).toBe(true);
        await expect(page.echo(1)).rejects.toThrow("open another");
        await tab.close();
      });
    }
  });
}

describe("a suite", () => {
  it("runs its cases by name, on one page, and hands on what a case skips", async (context) => {
    const tab = await browser.open(context);
    const run = (name: string) => tab.run({ module: "misbehaviour", kind: "case", name });
    const names = collectCases(misbehaviour.suite).map(({ name }) => name);
    expect(names).toEqual(["cases > run in order", "cases > share one page", "cases > can be skipped"]);
    await run(names[0]!);
    await run(names[1]!);
    await expect(run(names[2]!)).rejects.toThrow(SkippedInPage);
    await expect(run(names[0]!)).rejects.toThrow("3 cases have run");
    await expect(run("no such case")).rejects.toThrow("has no case");
  });

  it("with two cases of one name is refused", () => {
    const twice = ({ it }: TestApi) => {
      for (const _ of [1, 2]) it("same", async () => {});
    };
    expect(() => collectCases(twice)).toThrow("same name");
  });
});

/** Processes whose command line names `text`. */
function processesNaming(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(text));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** A process with a browser that waits to be killed. It says where the profile is. */
async function childWithBrowser(
  executable: string,
  temporary: string,
): Promise<{ kill(): void; profile: string }> {
  const { outputFiles } = await build({
    stdin: {
      contents:
        'import { launchChromium } from "./chromium.ts"; const { profile } = await launchChromium(); console.log(profile);',
      resolveDir: `${root}/test/browser`,
    },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    packages: "external",
    banner: { js: "setInterval(() => {}, 1000);" },
  });
  const child = spawn(process.execPath, ["--input-type=module", "-e", outputFiles[0]!.text], {
    cwd: root,
    env: { ...process.env, PAGEFOLD_TEST_CHROMIUM: executable, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const profile = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (said: Buffer) => resolve(String(said).trim()));
    child.once("exit", (code) => reject(new Error(`the child ended by itself (${code})`)));
  });
  return { kill: () => child.kill("SIGKILL"), profile };
}

describe("the browser", () => {
  const noProcesses = existsSync("/proc/self") ? undefined : "needs /proc to see processes";

  it("leaves no process and no profile when it is closed", async (context) => {
    await requireChromium(context);
    if (noProcesses !== undefined) return context.skip(noProcesses);
    const own = await launchChromium();
    if ("unavailable" in own) throw new Error(own.unavailable);
    const page = await own.context.newPage();
    await page.goto("data:text/html,<p>open while it closes");
    expect(processesNaming(own.profile).length).toBeGreaterThan(0);
    await own.close();
    await own.close();
    await expect.poll(() => processesNaming(own.profile), { timeout: 40_000 }).toEqual([]);
    expect(existsSync(own.profile)).toBe(false);
  });

  it("ends with the process that started it, even one that is killed", async (context) => {
    await requireChromium(context);
    if (noProcesses !== undefined) return context.skip(noProcesses);
    const executable = await findExecutable();
    if ("unavailable" in executable) throw new Error(executable.unavailable);
    // A killed process cannot remove its temporary files: here they lie in a place of their own.
    const temporary = mkdtempSync(join(tmpdir(), "pagefold-killed-"));
    try {
      const child = await childWithBrowser(executable.path, temporary);
      const before = processesNaming(child.profile).length;
      child.kill();
      expect(before).toBeGreaterThan(0);
      await expect.poll(() => processesNaming(child.profile), { timeout: 40_000 }).toEqual([]);
    } finally {
      rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
    }
  });

  it("is missing for a reason only where the system lacks something", () => {
    const missing =
      "chromium: error while loading shared libraries: libnss3.so: cannot open shared object file";
    expect(whyNotHere(`browserType.launch: failed\n[err] ${missing}\nexit code 127`)).toContain("libnss3.so");
    expect(
      whyNotHere("chromium: /lib/libc.so.6: version `GLIBC_2.38' not found (required by chromium)"),
    ).toContain("GLIBC_2.38");
    expect(whyNotHere("spawn /opt/chromium EACCES")).toContain("EACCES");
    expect(whyNotHere("Timeout 30000ms exceeded")).toBeUndefined();
    expect(whyNotHere("Target page, context or browser has been closed (SIGSEGV)")).toBeUndefined();
  });

  it("that the environment names must exist", async () => {
    const named = (path: string) => findExecutable({ PAGEFOLD_TEST_CHROMIUM: path });
    await expect(named("/nowhere/chromium")).rejects.toThrow("/nowhere/chromium, which does not exist");
    expect(await named(process.execPath)).toEqual({ path: process.execPath, chosen: true });
  });

  it("brings libraries in a tar archive, of which a damaged one is refused", () => {
    const header = Buffer.alloc(512);
    header.write("lib/a.so", 0);
    header.write("00000000005", 124);
    header.write("0", 156);
    const archive = Buffer.concat([header, Buffer.from("hello".padEnd(512, "\0")), Buffer.alloc(1024)]);
    const [entry] = tarEntries(archive);
    expect([entry?.name, String(Buffer.from(entry?.bytes ?? []))]).toEqual(["lib/a.so", "hello"]);
    expect(() => tarEntries(archive.subarray(0, 515))).toThrow("damaged");
  });
});

function lineOf(path: string, text: string): number {
  const lines = readFileSync(`${root}/${path}`, "utf8").split("\n");
  return lines.findIndex((line) => line.includes(text)) + 1;
}
