/**
 * The engine over S3: from import to racing pushes on a server with conditional creation (where PAGEFOLD_TEST_S3_ENDPOINT names one), and
 * what a server without it allows: reading, and nothing that could lose a commit.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exportFile, importFile } from "../../src/node/files.ts";
import { openStore } from "../../src/node/open-store.ts";
import { S3ObjectStore } from "../../src/node/s3.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { fauxqsCredentials, type S3Server, startFauxqs } from "../node/fauxqs.ts";

let directory: string;
let file: string;
let content: Uint8Array;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pagefold-s3-"));
  file = join(directory, "source");
  // Half of it compresses, half does not; a length that is no multiple of the page size; several segments' worth of frames.
  content = Uint8Array.from({ length: 3_000_001 }, (_, i) =>
    (i >> 12) % 2 === 0 ? i >> 12 : (i * 2_654_435_761) >>> 13,
  );
  await writeFile(file, content);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const endpoint = process.env.PAGEFOLD_TEST_S3_ENDPOINT ?? "";
const bucket = process.env.PAGEFOLD_TEST_S3_BUCKET ?? "";

describe("the engine on S3 with conditional creation", () => {
  const open = (prefix: string): ObjectStore => new S3ObjectStore({ bucket, prefix, endpoint });
  beforeEach((context) => {
    if (endpoint === "")
      context.skip("PAGEFOLD_TEST_S3_ENDPOINT names no S3 server with conditional creation");
  });

  it("imports, clones, reads lazily, exports the same bytes", async () => {
    const prefix = `e2e/${randomUUID()}`;
    const writer = await openStore(open(prefix), { workers: 0 });
    const imported = await importFile(writer, file, { tag: "data" });
    expect(imported).toMatchObject({ lsn: 1, bytes: content.length });
    expect(await importFile(writer, file, { tag: "data" })).toMatchObject({
      lsn: 1,
      changedPages: 0,
      storedBytes: 0,
    });

    const reader = await openStore(open(prefix), { workers: 0, local: join(directory, "replica") });
    const volume = await reader.volume("data");
    expect(await volume.read(1_234_567, 10_000)).toEqual(content.slice(1_234_567, 1_244_567));
    expect(volume.status().residentPages).toBeLessThan(imported.pageCount / 4);
    await exportFile(volume, join(directory, "copy"));
    expect((await readFile(join(directory, "copy"))).equals(content)).toBe(true);
    expect(await volume.verify()).toMatchObject({ lsn: 1, commits: 1 });
    await Promise.all([writer.close(), reader.close()]);
  });

  it("invariant 5: of racing pushes exactly one wins every LSN, and the losers keep their commits", async () => {
    const prefix = `e2e/${randomUUID()}`;
    const writers = await Promise.all([1, 2, 3, 4].map(() => openStore(open(prefix), { workers: 0 })));
    const { id } = await writers[0]!.createVolume({ tag: "race" });
    const volumes = await Promise.all(writers.map((store) => store.volume(id)));
    for (let round = 1; round <= 5; round++) {
      await Promise.all(volumes.map((volume, i) => volume.write(i * 4096, Uint8Array.of(round, i))));
      const results = await Promise.allSettled(volumes.map((volume) => volume.push()));
      const won = results.filter(({ status }) => status === "fulfilled");
      expect(won).toHaveLength(1);
      for (const [i, result] of results.entries()) {
        if (result.status === "fulfilled") continue;
        expect(result.reason).toMatchObject({ code: "diverged" });
        expect(volumes[i]!.status()).toMatchObject({ ahead: 1, state: "diverged" });
        await volumes[i]!.reset();
        expect(await volumes[i]!.pull()).toMatchObject({ to: round });
      }
    }
    const states = await Promise.all(volumes.map((volume) => volume.read(0, 20_000)));
    for (const state of states) expect(state).toEqual(states[0]);
    await Promise.all(writers.map((store) => store.close()));
  });
});

describe("the engine on an S3 server that ignores conditional creation", () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startFauxqs();
  });
  afterAll(() => server.stop());

  const open = (prefix: string): ObjectStore =>
    new S3ObjectStore({
      bucket: server.bucket,
      prefix,
      endpoint: server.endpoint,
      credentials: fauxqsCredentials,
    });

  it("refuses to import, before anything is stored", async () => {
    const store = await openStore(open("refused"), { workers: 0 });
    await expect(importFile(store, file, { tag: "data" })).rejects.toMatchObject({ code: "forbidden" });
    await store.close();
    const raw = open("refused");
    expect(await raw.list("")).toEqual([]);
    await raw.close();
  });

  it("reads what was put there by other means", async () => {
    const memory = new MemoryObjectStore();
    const writer = await openStore(memory, { workers: 0 });
    await importFile(writer, file, { tag: "data" });
    const raw = open("copied");
    for (const { key } of await memory.list("")) await raw.put(key, (await memory.get(key))!);
    await raw.close();
    const reader = await openStore(open("copied"), { workers: 0 });
    const volume = await reader.volume("data");
    expect(await volume.read(2_999_000, 5_000)).toEqual(content.slice(2_999_000));
    await volume.write(0, Uint8Array.of(1));
    await expect(volume.push()).rejects.toMatchObject({ code: "forbidden" });
    expect(volume.status()).toMatchObject({ ahead: 1, pendingPush: false });
    await Promise.all([writer.close(), reader.close()]);
  });
});
