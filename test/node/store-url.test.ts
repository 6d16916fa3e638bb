import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { openObjectStore } from "../../src/node/store-url.ts";

describe("stores by URL", () => {
  it("opens directories and file: URLs, and creates them when asked", async () => {
    const directory = await mkdtemp(join(tmpdir(), "pagefold url é %41-"));
    try {
      const url = pathToFileURL(join(directory, "store")).href;
      await expect(openObjectStore(url)).rejects.toMatchObject({ code: "not_found" });
      const created = await openObjectStore(url, { create: true });
      await created.put("k", new Uint8Array([1]));
      expect(created.url).toBe(url);
      const byPath = await openObjectStore(join(directory, "store"));
      expect(await byPath.get("k")).toEqual(new Uint8Array([1]));
      expect(byPath.url).toBe(url);
      await Promise.all([created.close(), byPath.close()]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("opens memory: and counts what goes through", async () => {
    const recorder = new MemoryRecorder();
    const store = await openObjectStore("memory:", { recorder });
    await store.put("k", new Uint8Array(5));
    await store.get("k", { range: { offset: 1, length: 3 } });
    expect(recorder.get("remote.put.bytes")).toBe(5);
    expect(recorder.get("remote.get.bytes")).toBe(3);
    expect(store.url).toBe("memory:");
  });

  it("opens s3: without asking it anything", async () => {
    for (const [url, expected] of [
      ["s3://bucket", "s3://bucket"],
      ["s3://bucket/", "s3://bucket"],
      ["s3://bucket.name/a/b/", "s3://bucket.name/a/b"],
    ] as const) {
      const store = await openObjectStore(url, { endpoint: "http://127.0.0.1:9", region: "eu-central-1" });
      expect(store.url).toBe(expected);
      expect(store.capabilities.conditionalCreate).toBe("unknown");
      await store.close();
    }
  });

  it("refuses everything else, and says what is taken", async () => {
    for (const url of ["gs://b", "ftp:x", "s4://b/p", "", " "]) {
      await expect(openObjectStore(url)).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/a directory, file:.*s3:.*memory:/),
      });
    }
    for (const url of [
      "s3:",
      "s3://",
      "s3:///p",
      "s3:bucket",
      "s3://u:hush@bucket/p",
      "s3://bucket/p?x=1",
      "memory:x",
      "file://host/x",
      // A URL would make them /x and /.
      "file:x",
      "file:",
    ]) {
      const error: unknown = await openObjectStore(url).catch((e: unknown) => e);
      expect(error, url).toMatchObject({ code: "invalid" });
      expect(String(error)).not.toContain("hush");
    }
    await expect(openObjectStore("s3://b-1/p", { endpoint: "http://u:hush@h/" })).rejects.toMatchObject({
      code: "invalid",
      message: expect.not.stringContaining("hush"),
    });
    await expect(openObjectStore("s3://b-1/p", { endpoint: "127.0.0.1:9000" })).rejects.toMatchObject({
      code: "invalid",
    });
    await expect(openObjectStore("memory:", { endpoint: "http://x" })).rejects.toMatchObject({
      code: "invalid",
    });
    await expect(openObjectStore("s3://b-1/a//b")).rejects.toMatchObject({ code: "invalid" });
  });
});
