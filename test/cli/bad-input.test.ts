/** What goes wrong in the world, as a user of the command meets it: a code, a message that says what to do next, nothing half done. */
import { execFileSync } from "node:child_process";
import {
  appendFile,
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { objectsBelow, sha256, startCli, temporaryFolder, until } from "./cli.ts";
import { failJson, runCli, runJson } from "./either.ts";
import { sampleDatabase } from "./sample-database.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;
let source: string;
let database: Uint8Array;
const at = (...names: string[]): string => join(folder.path, ...names);

beforeAll(async () => {
  folder = await temporaryFolder();
  store = at("store");
  source = at("source.db");
  database = await sampleDatabase({ rows: 20_000 });
  await writeFile(source, database);
  await runJson(["import", source, "--store", store, "--tag", "shop"]);
});

afterAll(async () => folder?.remove());

describe("sql", () => {
  it("on a volume that holds no database says so", async () => {
    const text = at("notes.txt");
    await writeFile(text, "just text, longer than a database header is, but no database at all".repeat(20));
    await runJson(["import", text, "--store", store, "--tag", "notes"]);
    const failure = await failJson(["sql", "notes", "SELECT 1 FROM t", "--store", store]);
    expect(failure).toMatchObject({ code: "invalid", message: expect.stringMatching(/database/) });
  });

  it("that writes is refused with --read-only; the store is untouched", async () => {
    const before = await objectsBelow(store);
    for (const sql of [
      "DELETE FROM items",
      "CREATE TABLE t (a)",
      "INSERT INTO tags VALUES (1, 'x')",
      "DROP TABLE tags",
    ]) {
      const failure = await failJson(["sql", "shop", sql, "--read-only", "--store", store]);
      expect(failure, sql).toMatchObject({
        exit: 2,
        code: "invalid",
        message: expect.stringMatching(/read-only/i),
      });
    }
    expect(await objectsBelow(store)).toEqual(before);
  });

  it("with a mistake in it names the mistake", async () => {
    const failure = await failJson(["sql", "shop", "SELEC 1", "--store", store]);
    expect(failure).toMatchObject({ exit: 2, code: "invalid", message: expect.stringContaining("SELEC") });
    expect((await failJson(["sql", "shop", "SELECT a FROM nowhere", "--store", store])).message).toContain(
      "nowhere",
    );
  });
});

describe("import", () => {
  it("of an empty file is valid: it comes back empty", async () => {
    const [empty, out] = [at("empty"), at("empty.out")];
    await writeFile(empty, "");
    const result = await runJson(["import", empty, "--store", store, "--tag", "empty"]);
    expect(result).toMatchObject({ bytes: 0, pageCount: 0 });
    expect(await runJson(["export", "empty", out, "--store", store])).toMatchObject({ bytes: 0 });
    expect((await stat(out)).size).toBe(0);
    expect((await runCli(["read", "empty", "--store", store])).bytes.length).toBe(0);
    expect((await failJson(["sql", "empty", "SELECT * FROM t", "--store", store])).exit).not.toBe(0);
  });

  it("of a file that is not there, or is a folder, says which", async () => {
    const absent = await failJson(["import", at("absent"), "--store", store, "--tag", "x"]);
    expect(absent).toMatchObject({ code: "not_found", message: expect.stringContaining("absent") });
    await mkdir(at("folder"));
    const isFolder = await failJson(["import", at("folder"), "--store", store, "--tag", "x"]);
    expect(isFolder).toMatchObject({ code: "invalid", message: expect.stringContaining("folder") });
  });

  it("of a file that changes meanwhile fails, and commits nothing", async () => {
    const path = at("changing");
    await writeFile(path, Buffer.alloc(40_000_000, "grow"));
    const { child, result } = startCli(["import", path, "--store", store, "--tag", "changing", "--json"]);
    let ended = false;
    child.on("close", () => {
      ended = true;
    });
    while (!ended) {
      await appendFile(path, "more");
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const { code, stderr } = await result;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/chang|grew|grow/);
    await expectNoCommit("changing");
  });

  it("of a file that shrinks meanwhile fails, and commits nothing", async () => {
    const path = at("shrinking");
    await writeFile(path, Buffer.alloc(40_000_000, "shrink"));
    const { child, result } = startCli(["import", path, "--store", store, "--tag", "shrinking", "--json"]);
    let ended = false;
    child.on("close", () => {
      ended = true;
    });
    for (let size = 40_000_000; !ended && size > 0; size -= 4096) {
      await truncate(path, size);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const { code, stderr } = await result;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/chang|shr[aiu]nk|short/);
    await expectNoCommit("shrinking");
  });

  it("with another page size than the database's own is refused, and names both", async () => {
    const failure = await failJson([
      "import",
      source,
      "--store",
      store,
      "--tag",
      "odd",
      "--page-size",
      "8192",
    ]);
    expect(failure).toMatchObject({ exit: 2, code: "invalid" });
    expect(failure.message).toMatch(/8192/);
    expect(failure.message).toMatch(/4096/);
  });

  /** The tag may be there or not, but nothing can be read through it. */
  async function expectNoCommit(tag: string): Promise<void> {
    const tags = await runJson<{ tag: string }[]>(["tags", "--store", store]);
    if (!tags.some((each) => each.tag === tag)) return;
    expect(await runJson<unknown[]>(["log", tag, "--store", store])).toEqual([]);
  }
});

describe("names and stores", () => {
  it("an unknown tag is not found, and the message says which tags exist", async () => {
    const failure = await failJson(["read", "shopp", "--store", store]);
    expect(failure).toMatchObject({ exit: 1, code: "not_found", message: expect.stringContaining("shop") });
    const { stderr } = await runCli(["read", "shopp", "--store", store]);
    expect(stderr).toMatch(/^pagefold: not_found: .*shopp.*\n$/);
  });

  it("a store that is not there is not created by reading", async () => {
    const nowhere = at("nowhere");
    for (const args of [["tags"], ["read", "shop"], ["verify", "shop"], ["sql", "shop", "SELECT 1"]]) {
      const failure = await failJson([...args, "--store", nowhere]);
      expect(failure, args[0]).toMatchObject({
        exit: 1,
        code: "not_found",
        message: expect.stringContaining("nowhere"),
      });
    }
    await expect(stat(nowhere)).rejects.toThrow("ENOENT");
  });

  it("a store that is a file, or cannot be created, fails with its path", async () => {
    for (const bad of [source, "/proc/no-store-here"]) {
      const failure = await failJson(["import", source, "--store", bad, "--tag", "x"]);
      expect(failure.message, bad).toContain(bad);
      expect(failure.code, bad).not.toBe("internal");
    }
  });

  it("a store that may not be written is forbidden for import, and still readable", async (ctx) => {
    if (process.getuid?.() === 0) return ctx.skip("runs as root, whom no permission stops");
    const locked = at("locked");
    await runJson(["import", source, "--store", locked, "--tag", "shop"]);
    await setModes(locked, 0o555, 0o444);
    try {
      expect(await failJson(["import", source, "--store", locked, "--tag", "y"])).toMatchObject({
        code: "forbidden",
      });
      expect((await runCli(["read", "shop", "--length", "5", "--store", locked])).stdout).toBe("SQLit");
    } finally {
      await setModes(locked, 0o755, 0o644);
    }
  });

  async function setModes(path: string, folders: number, files: number): Promise<void> {
    for (const file of await objectsBelow(path)) await chmod(file, files);
    execFileSync("find", [path, "-type", "d", "-exec", "chmod", folders.toString(8), "{}", "+"]);
  }

  it("a store of a newer format version says so", async () => {
    const newer = at("newer");
    await runJson(["import", source, "--store", newer, "--tag", "shop"]);
    const manifest = (await objectsBelow(newer)).find((file) => file.endsWith("manifest"));
    if (manifest === undefined) throw new Error("no manifest in the store");
    const bytes = await readFile(manifest);
    bytes[4] = 2;
    await chmod(manifest, 0o644);
    await writeFile(manifest, bytes);
    const failure = await failJson(["read", "shop", "--store", newer]);
    expect(failure).toMatchObject({
      exit: 1,
      code: "unsupported_version",
      message: expect.stringMatching(/newer|version/),
    });
  });
});

describe("damage in the store", () => {
  /** A fresh store with the sample database, and its largest object: where the frames are. */
  async function damagedStore(name: string, damage: (segment: string) => Promise<void>): Promise<string> {
    const path = at(name);
    await runJson(["import", source, "--store", path, "--tag", "shop"]);
    const files = await objectsBelow(path);
    const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
    const largest = files[sizes.indexOf(Math.max(...sizes))];
    if (largest === undefined) throw new Error("an empty store");
    await chmod(largest, 0o644);
    await damage(largest);
    return path;
  }

  /** Everything that reads it all must fail with `corrupt`, naming volume and LSN; queries elsewhere go on. */
  async function expectCorrupt(path: string, alsoNames: readonly string[]): Promise<void> {
    const out = at(`${path}.out`.split("/").at(-1) ?? "out");
    for (const args of [
      ["verify", "shop"],
      ["export", "shop", out],
      ["sql", "shop", "SELECT count(body), sum(length(body)) FROM items"],
    ]) {
      const failure = await failJson([...args, "--store", path]);
      expect(failure, args[0]).toMatchObject({ exit: 1, code: "corrupt" });
      expect(failure.details, args[0]).toMatchObject({ volume: expect.any(String), lsn: 1 });
      for (const name of alsoNames) expect(failure.details, args[0]).toHaveProperty(name);
    }
    await expect(stat(out)).rejects.toThrow("ENOENT");
  }

  it("a flipped bit is corrupt and named down to the frame; other pages are still readable; nothing of it is cached", async () => {
    const path = await damagedStore("flipped", async (segment) => {
      const file = await open(segment, "r+");
      const byte = Buffer.alloc(1);
      const middle = Math.floor((await file.stat()).size / 2);
      await file.read(byte, 0, 1, middle);
      byte[0] = (byte[0] ?? 0) ^ 0x10;
      await file.write(byte, 0, 1, middle);
      await file.close();
    });
    await expectCorrupt(path, ["frame"]);
    const args = ["--store", path, "--local", at("flipped-local")];
    expect((await failJson(["hydrate", "shop", ...args])).code).toBe("corrupt");
    expect((await failJson(["hydrate", "shop", ...args])).code).toBe("corrupt");
    const { rows } = await runJson<{ rows: unknown[][] }>([
      "sql",
      "shop",
      "SELECT name FROM sqlite_schema LIMIT 1",
      ...args,
    ]);
    expect(rows.length).toBe(1);
  });

  it("a truncated object is corrupt", async () => {
    const path = await damagedStore("truncated", async (segment) =>
      truncate(segment, Math.floor((await stat(segment)).size / 2)),
    );
    const failure = await failJson(["verify", "shop", "--store", path]);
    expect(failure).toMatchObject({ exit: 1, code: "corrupt" });
  });

  it("a missing object is corrupt, and named", async () => {
    const path = await damagedStore("missing", (segment) => rm(segment));
    const failure = await failJson(["verify", "shop", "--store", path]);
    expect(failure.exit).toBe(1);
    expect(["corrupt", "not_found"]).toContain(failure.code);
  });

  it("an object replaced by rubbish is corrupt, not a crash", async () => {
    for (const rubbish of [Buffer.alloc(0), Buffer.alloc(10), Buffer.alloc(100_000, 0xff)]) {
      const path = await damagedStore(`rubbish-${rubbish.length}`, (segment) => writeFile(segment, rubbish));
      expect(await failJson(["verify", "shop", "--store", path])).toMatchObject({ exit: 1, code: "corrupt" });
    }
  });
});

describe("the local directory", () => {
  it("in use by another process is busy, naming the owner; a dead owner's lock is taken over", async () => {
    const local = ["--store", store, "--local", at("shared-local")];
    const scratch = at("locked.bin");
    await writeFile(scratch, "0123456789");
    await runJson(["import", scratch, "--store", store, "--tag", "locked"]);
    await runJson(["clone", "locked", ...local]);
    // A write that waits for its stdin holds the directory.
    const holder = startCli(["write", "locked", "--offset", "0", ...local], { stdin: "open" });
    // Asking with the command would take the lock itself, and the holder would be the one to fail.
    await until("the directory to be held", async () => (await readdir(at("shared-local"))).includes("lock"));
    const failure = await failJson(["status", "locked", ...local]);
    expect(failure).toMatchObject({ exit: 1, code: "busy" });
    expect(`${failure.message} ${JSON.stringify(failure.details)}`).toContain(`${holder.child.pid}`);
    holder.child.kill("SIGKILL");
    await holder.result;
    expect(await runJson(["status", "locked", ...local])).toMatchObject({ state: "clean" });
  });

  it("on a full disk says quota, and what was there before is intact", async (ctx) => {
    const disk = at("disk");
    await mkdir(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      return ctx.skip("no right to mount a small file system here");
    }
    try {
      const small = at("small.bin");
      await writeFile(small, Buffer.alloc(5000, "s"));
      await runJson(["import", small, "--store", join(disk, "store"), "--tag", "small"]);
      const big = at("big.bin");
      const random = Buffer.alloc(8_000_000);
      for (let i = 0, x = 1; i < random.length; i += 4) {
        x = (Math.imul(x, 1103515245) + 12345) >>> 0;
        random.writeUInt32LE(x, i);
      }
      await writeFile(big, random);
      const failure = await failJson(["import", big, "--store", join(disk, "store"), "--tag", "big"]);
      expect(failure).toMatchObject({ exit: 1, code: "quota" });
      expect((await runCli(["read", "small", "--store", join(disk, "store")])).stdout).toBe("s".repeat(5000));
      // A replica that cannot keep what it fetched is not hydrated, though the pages went by.
      await runJson(["import", big, "--store", at("roomy"), "--tag", "big"]);
      const replica = ["big", "--store", at("roomy"), "--local", join(disk, "replica")];
      expect(await failJson(["hydrate", ...replica])).toMatchObject({ exit: 1, code: "quota" });
      expect((await runCli(["read", ...replica])).bytes.equals(random)).toBe(true);
    } finally {
      execFileSync("umount", ["-l", disk], { stdio: "ignore" });
    }
  });
});

describe("export", () => {
  it("into a folder that is not there fails and leaves nothing", async () => {
    const failure = await failJson(["export", "shop", at("no", "such", "out.db"), "--store", store]);
    expect(failure).toMatchObject({ exit: 1, code: "not_found" });
    expect(failure.message).toContain("out.db");
  });

  it("onto a folder is refused before anything is fetched", async () => {
    const folder = at("folder-as-target");
    await mkdir(folder);
    const failure = await failJson(["export", "shop", folder, "--store", store]);
    expect(failure).toMatchObject({ exit: 2, code: "invalid", message: expect.stringContaining(folder) });
    expect(await readdir(folder)).toEqual([]);
  });

  it("of a commit that does not exist yet says so", async () => {
    expect(await failJson(["export", "shop", at("x.db"), "--lsn", "99", "--store", store])).toMatchObject({
      exit: 1,
      code: "not_found",
    });
  });

  it("replaces an existing file only when it is complete", async () => {
    const out = at("kept.db");
    await writeFile(out, "precious");
    const away = at("store-away");
    await rename(store, away);
    expect((await runCli(["export", "shop", out, "--store", store])).code).toBe(1);
    await rename(away, store);
    expect(await readFile(out, "utf8")).toBe("precious");
    expect((await runCli(["export", "shop", out, "--store", store])).code).toBe(0);
    expect(sha256(await readFile(out))).toBe(sha256(database));
  });
});
