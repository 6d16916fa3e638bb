/** A disk that is really full: a tmpfs of 1 MiB, where the kernel lets the caller mount one. */
import { spawnSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { PageCache } from "../../src/local/page-cache.ts";
import { FsBlockFileSystem } from "../../src/node/fs-block-file.ts";
import { openLog, payloadOf, recordText } from "../local/log-fixture.ts";
import { xxh64 } from "../local/xxh64.ts";
import { removeTemporary, temporary } from "./block-child.ts";

const mounted: string[] = [];

/** The mount point, or undefined where mounting is not allowed. */
function mountSmall(): string | undefined {
  const directory = temporary();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]);
  if (status !== 0) return undefined;
  mounted.push(directory);
  return directory;
}

afterAll(() => {
  for (const directory of mounted) spawnSync("umount", [directory]);
  removeTemporary();
});

describe("a full disk", () => {
  it("log: quota, every earlier record intact, usable again after a rewrite", async (ctx) => {
    const directory = mountSmall();
    if (directory === undefined) return ctx.skip("mounting a tmpfs needs privileges");
    const files = new FsBlockFileSystem(directory);
    const { log } = await openLog(files, { extentBytes: 64 * 1024 });
    const expected: string[] = [];
    let refused = 0;
    for (let id = 0; refused < 3; id++) {
      const payload = payloadOf(id, 5000 + (id % 7) * 1000);
      try {
        log.append(1, [payload]);
        expected.push(recordText(1, payload));
      } catch (e) {
        expect(e).toMatchObject({ code: "quota" });
        refused++;
      }
    }
    expect(expected.length).toBeGreaterThan(50);
    log.flush();
    // No room for another generation as large as this one, but for a small one.
    expect(() =>
      log.rewrite((append) => {
        for (let id = 0; id < 100; id++) append(1, [payloadOf(id, 8000)]);
      }),
    ).toThrow(expect.objectContaining({ code: "quota" }));
    await log.close();
    const again = await openLog(files, { extentBytes: 64 * 1024 });
    expect(again.records.length).toBe(expected.length);
    expect(again.records).toEqual(expected);
    await again.log.close();
  });

  it("cache: stops growing, returns only right bytes", async (ctx) => {
    const directory = mountSmall();
    if (directory === undefined) return ctx.skip("mounting a tmpfs needs privileges");
    const files = new FsBlockFileSystem(directory);
    const options = { pageSize: 4096, memoryBytes: 65_536, diskBytes: 8 << 20, files, xxh64 };
    const cache = await PageCache.open(options);
    for (let page = 1; page <= 2000; page++) cache.put(1, page, 1, payloadOf(page, 4096));
    let found = 0;
    for (let page = 1; page <= 2000; page++) {
      const bytes = cache.get(1, page, 1);
      if (bytes === undefined) continue;
      found++;
      if (Buffer.compare(bytes, payloadOf(page, 4096)) !== 0) expect.fail(`page ${page}`);
    }
    expect(found).toBeGreaterThan(100);
    expect(cache.stats().diskPages).toBeLessThan(256);
    await cache.close();
    const again = await PageCache.open(options);
    expect(again.residentPages(1)).toBeGreaterThan(100);
    await again.close();
  });
});
