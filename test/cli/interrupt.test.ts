/** Ctrl-C, SIGTERM, a closed pipe: the command stops where everything is consistent, and running it again finishes the work. */
import { randomFillSync } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onDemand } from "../more.ts";
import { filesBelow, runCli, runJson, sha256, startCli, temporaryFolder, until } from "./cli.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let bytes: Buffer;
const at = (...names: string[]): string => join(folder.path, ...names);
const objectsIn = async (store: string): Promise<number> =>
  existsSync(store) ? (await filesBelow(store)).length : 0;

beforeAll(async () => {
  folder = await temporaryFolder();
  source = at("source.bin");
  // Incompressible, and larger than one segment: the import takes a while and writes several objects.
  bytes = randomFillSync(Buffer.alloc(100_000_000));
  await writeFile(source, bytes);
});

afterAll(async () => folder?.remove());

describe("invariant 11: an interrupted import", () => {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    it(`by ${signal} ends with ${code}, leaves the store consistent, and a second run finishes`, async (context) => {
      if (signal === "SIGTERM") onDemand(context);
      const store = at(`store-${signal}`);
      const { child, result } = startCli(["import", source, "--store", store, "--tag", "big"]);
      await until(
        "the import to be under way",
        async () => (await objectsIn(store)) > 0 || child.exitCode !== null,
      );
      child.kill(signal);
      const ended = await result;
      expect(ended.stderr).toMatch(/aborted|stopping/);
      expect(ended.code).toBe(code);
      expect((await runCli(["tags", "--store", store])).code).toBe(0);
      const log = await runCli(["log", "big", "--store", store, "--json"]);
      if (log.code === 0) expect(JSON.parse(log.stdout)).toEqual([]);
      expect(await runJson(["import", source, "--store", store, "--tag", "big"])).toMatchObject({
        lsn: 1,
        bytes: bytes.length,
      });
      expect(await runJson(["verify", "big", "--store", store])).toMatchObject({ lsn: 1 });
      const out = at(`out-${signal}`);
      await runJson(["export", "big", out, "--store", store]);
      expect(sha256(await readFile(out))).toBe(sha256(bytes));
    });
  }

  it("an interrupted export leaves no file behind", async () => {
    const [store, out] = [at("store-SIGINT"), at("interrupted.out")];
    const { child, result } = startCli(["export", "big", out, "--store", store]);
    await until("the export to be under way", async () =>
      (await filesBelow(folder.path)).some((f) => f.includes("interrupted.out")),
    );
    child.kill("SIGINT");
    const { code } = await result;
    if (code === 0) return expect(sha256(await readFile(out))).toBe(sha256(bytes));
    expect(code).toBe(130);
    expect((await filesBelow(folder.path)).filter((file) => file.includes("interrupted.out"))).toEqual([]);
  });
});

describe("a waiting command", () => {
  it("is stopped by Ctrl-C while it waits for stdin, and nothing is written", async () => {
    const store = at("store-wait");
    const small = at("small.bin");
    await writeFile(small, "0123456789");
    await runJson(["import", small, "--store", store, "--tag", "small"]);
    const local = at("replica-wait");
    const { child, result } = startCli(
      ["write", "small", "--offset", "0", "--store", store, "--local", local],
      { stdin: "open" },
    );
    child.stdin?.write("partial");
    await until("the replica to be held", () => existsSync(join(local, "lock")));
    child.kill("SIGINT");
    expect((await result).code).toBe(130);
    expect((await runCli(["read", "small", "--store", store])).stdout).toBe("0123456789");
    expect((await runJson<unknown[]>(["log", "small", "--store", store])).length).toBe(1);
  });
});

describe("a reader that has enough", () => {
  it("closes the pipe, and read ends without an error", async () => {
    const store = at("store-pipe");
    await runJson(["import", source, "--store", store, "--tag", "big"]);
    const { child, result } = startCli(["read", "big", "--store", store]);
    child.stdout?.once("data", () => child.stdout?.destroy());
    const { code, stderr } = await result;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
});
