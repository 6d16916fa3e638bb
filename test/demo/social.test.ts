/** The demo's database: the same every time, sound, and about as large as it was asked for. */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateSocial } from "../../server/demo/data/social.ts";
import { loadSqlite } from "../vfs/sqlite.ts";

let folder: string;
const BYTES = 3_000_000;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pagefold-social-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function generate(name: string, seed: number, bytes = BYTES): Promise<string> {
  const path = join(folder, name);
  await generateSocial(path, { bytes, seed });
  return path;
}

describe("generateSocial", () => {
  it("makes the same bytes of the same options, and others of another seed", async () => {
    const [one, two, other] = [
      await generate("one", 1),
      await generate("two", 1),
      await generate("other", 2),
    ];
    const bytes = await readFile(one);
    expect(bytes.equals(await readFile(two))).toBe(true);
    expect(bytes.equals(await readFile(other))).toBe(false);
  });

  it("makes a sound database of about the size that is asked for", async () => {
    const path = await generate("sound", 3);
    const { size } = await stat(path);
    expect(size).toBeGreaterThan(BYTES * 0.7);
    expect(size).toBeLessThan(BYTES * 1.4);
    const { capi, wasm, oo1 } = await loadSqlite();
    const db = new oo1.DB(":memory:");
    try {
      const bytes = new Uint8Array(await readFile(path));
      const pointer = wasm.allocFromTypedArray(bytes);
      const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
      db.checkRc(capi.sqlite3_deserialize(db, "main", pointer, bytes.length, bytes.length, flags));
      expect(db.selectValue("PRAGMA integrity_check")).toBe("ok");
      expect(db.selectArrays("PRAGMA foreign_key_check")).toEqual([]);
      const counts = db.selectObject(
        `SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM posts) AS posts, (SELECT count(*) FROM comments) AS comments,
           (SELECT count(*) FROM likes) AS likes, (SELECT count(*) FROM follows) AS follows`,
      );
      expect(counts).toEqual({ users: 375, posts: 3000, comments: 4500, likes: 12_000, follows: 4500 });
      db.exec("INSERT INTO posts_fts(posts_fts) VALUES ('integrity-check')");
      expect(
        db.selectValue("SELECT count(*) FROM posts_fts WHERE posts_fts MATCH 'lantern OR the'"),
      ).toBeGreaterThan(100);
      db.exec("INSERT INTO posts(author, created, title, body) VALUES (1, 0, 'zyxw', '')");
      expect(db.selectValue("SELECT rowid FROM posts_fts WHERE posts_fts MATCH 'zyxw'")).toBe(3001);
    } finally {
      db.close();
    }
  });

  it("ends when its signal fires", async () => {
    const controller = new AbortController();
    const generated = generateSocial(join(folder, "aborted"), {
      ...{ bytes: BYTES, seed: 1, signal: controller.signal },
      onProgress: () => controller.abort(),
    });
    await expect(generated).rejects.toMatchObject({ code: "aborted" });
  });
});
