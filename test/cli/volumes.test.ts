/** Volumes on the command line: forked, put back together, deleted and undeleted; and verified at length. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { codecs, textBytes } from "../store/support.ts";
import { temporaryFolder } from "./cli.ts";
import { failHere, jsonHere, runHere } from "./here.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string[];
let volume: string;
const at = (...names: string[]): string => join(folder.path, ...names);

async function withStore<T>(work: (pages: PageStore) => Promise<T>): Promise<T> {
  const remote = await FsObjectStore.open(at("store"), { create: true });
  const pages = await PageStore.open({ remote, codecs });
  try {
    return await work(pages);
  } finally {
    await pages.close();
  }
}

const write = (name: string, page: number) =>
  withStore(async (pages) => {
    const opened = await pages.volume(name);
    await opened.write(page * 512, textBytes(512, page));
    await opened.push();
  });

beforeAll(async () => {
  folder = await temporaryFolder();
  store = ["--store", at("store")];
  volume = await withStore(async (pages) => {
    const made = await pages.createVolume({ tag: "docs", pageSize: 512 });
    await made.write(0, textBytes(20 * 512, 1));
    await made.push();
    return made.id;
  });
  for (const page of [3, 4]) await write("docs", page);
});
afterAll(() => folder.remove());

describe("fork, promote, rebase", () => {
  it("share, change apart, and come together again", async () => {
    const fork = await jsonHere(["fork", "docs", "--as", "topic", "--at", "2", ...store]);
    expect(fork).toMatchObject({ tag: "topic", parent: volume, lsn: 2 });
    expect((await failHere(["fork", "docs", "--as", "topic", ...store])).code).toBe("conflict");
    expect((await failHere(["fork", "docs", ...store])).exit).toBe(2);
    await write("topic", 9);
    const rebased = await jsonHere(["rebase", "topic", ...store]);
    expect(rebased).toMatchObject({ onto: 3, lsn: 4, changedPages: 1, tags: ["topic"], old: fork.volume });
    expect(await jsonHere(["rebase", "topic", ...store])).toMatchObject({
      volume: rebased.volume,
      old: null,
    });
    expect(await jsonHere(["promote", "topic", ...store])).toMatchObject({ volume, lsn: 4, promoted: true });
    const again = await runHere(["promote", "topic", ...store]);
    expect(again.stderr).toContain("has all of it already");
    // Both make the same page the same: nothing to promote.
    await write("docs", 11);
    await write("topic", 11);
    expect((await jsonHere(["promote", "topic", ...store])).promoted).toBe(false);
    expect((await failHere(["promote", "docs", ...store])).code).toBe("invalid");
    expect((await runHere(["rebase", "topic", "--onto", "x", ...store])).code).toBe(2);
    await jsonHere(["verify", "topic", "--deep", ...store]);
  });
});

describe("delete, undelete", () => {
  it("want the id, and can be undone until purged", async () => {
    const { volume: id } = await jsonHere(["fork", "docs", "--as", "gone", ...store]);
    const asked = await failHere(["delete", "gone", ...store]);
    expect(asked).toMatchObject({ exit: 2 });
    expect(asked.message).toContain(`--confirm ${id}`);
    expect((await failHere(["delete", "gone", "--confirm", "gone", ...store])).code).toBe("invalid");
    expect((await failHere(["delete", "nobody", ...store])).code).toBe("not_found");
    const deleted = await jsonHere(["delete", "gone", "--confirm", String(id), ...store]);
    expect(deleted).toMatchObject({ volume: id, tags: ["gone"] });
    expect(Date.parse(String(deleted.deleted))).toBeGreaterThan(0);
    expect((await failHere(["verify", "gone", ...store])).code).toBe("not_found");
    expect((await failHere(["undelete", "gone", ...store])).exit).toBe(2);
    await jsonHere(["fork", "docs", "--as", "gone", ...store]);
    const back = await runHere(["undelete", String(id), ...store]);
    expect(back.stderr).toContain("gone names another volume by now");
    const purged = await jsonHere(["delete", String(id), "--confirm", String(id), "--purge", ...store]);
    expect(purged.objects).toBeGreaterThan(1);
    expect((await failHere(["undelete", String(id), "--no-tags", ...store])).code).toBe("not_found");
  });
});

describe("verify", () => {
  it("deep, sampled, of the past, and of what is damaged", async () => {
    const newest = await jsonHere(["verify", "docs", ...store]);
    expect(newest).toMatchObject({ volume, pages: 20 });
    expect(await jsonHere(["verify", "docs", "--deep", "--at", "2", ...store])).toMatchObject({
      lsn: 2,
      states: 2,
    });
    expect(await jsonHere(["verify", "docs", "--sample", "10%", ...store])).toMatchObject({
      pages: 2,
      commits: 0,
    });
    expect(await jsonHere(["verify", "docs", "--sample", "3", ...store])).toMatchObject({ pages: 3 });
    for (const sample of ["0", "x", "2.5", "101%"])
      expect((await runHere(["verify", "docs", "--sample", sample, ...store])).code).toBe(2);
    const key = at("store", "volumes", volume, "commits", "fffffffffffffffe");
    const good = await readFile(key);
    const bad = Buffer.from(good);
    bad[bad.length - 1]! ^= 1;
    await writeFile(key, bad);
    const failed = await failHere(["verify", "docs", ...store]);
    expect(failed.code).toBe("corrupt");
    const all = await runHere(["verify", "docs", "--keep-going", "--json", ...store]);
    expect(all.code).toBe(1);
    const { findingCount, findings } = JSON.parse(all.stdout);
    expect(findingCount).toBe(findings.length);
    expect(findings[0]).toMatchObject({ code: "corrupt", lsn: 1 });
    expect((await runHere(["verify", "docs", "--keep-going", ...store])).stdout).toContain("digest area");
    await writeFile(key, good);
  });

  it("goes on from a file, which is gone when it is done", async () => {
    const file = at("resume");
    let token = "";
    await withStore(async (pages) => {
      const opened = await pages.volume("docs");
      await opened.verify({
        onProgress: (progress) => {
          if (progress.part === "log") token = progress.token();
        },
      });
    });
    await writeFile(file, token);
    const whole = await jsonHere(["verify", "docs", ...store]);
    const rest = await jsonHere(["verify", "docs", "--resume", file, ...store]);
    expect(rest).toMatchObject({
      pages: whole.pages,
      commits: whole.commits,
      stateChecksum: whole.stateChecksum,
    });
    expect(existsSync(file)).toBe(false);
    await writeFile(file, "nonsense");
    expect((await failHere(["verify", "docs", "--resume", file, ...store])).code).toBe("invalid");
    expect(existsSync(file)).toBe(true);
  });
});
