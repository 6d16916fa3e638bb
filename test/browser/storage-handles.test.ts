/** Block files over OPFS handles that misbehave as browsers' do, in Node: short writes, failed flushes, handles that others have, files that are gone. */
import { describe, expect, it } from "vitest";
import { OpfsBlockFileSystem, type SyncAccessHandle } from "../../src/browser/opfs-block-file.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { blockFileContract } from "../contracts/block-file.ts";

const failureNamed = (name: string) => new DOMException(`as a browser says it: ${name}`, name);

/** A directory of OPFS, as far as this needs one. Like the real one it gives one handle per file at a time. */
class FakeDirectory {
  readonly files = new MemoryBlockFileSystem();
  readonly names = new Set<string>();
  readonly held = new Set<string>();
  /** Asked before every operation on a handle; may throw. */
  before: (operation: string, length: number) => number | undefined = () => undefined;

  handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }

  async getFileHandle(name: string, options?: { create?: boolean }) {
    if (!this.names.has(name) && options?.create !== true) throw failureNamed("NotFoundError");
    this.names.add(name);
    return { createSyncAccessHandle: () => this.#open(name) };
  }

  async removeEntry(name: string): Promise<void> {
    if (this.held.has(name)) throw failureNamed("NoModificationAllowedError");
    if (!this.names.delete(name)) throw failureNamed("NotFoundError");
    await this.files.remove(name);
  }

  async *entries(): AsyncGenerator<[string, { kind: string }]> {
    for (const name of this.names) yield [name, { kind: "file" }];
    yield ["a-directory", { kind: "directory" }];
  }

  async #open(name: string): Promise<SyncAccessHandle> {
    if (this.held.has(name)) throw failureNamed("NoModificationAllowedError");
    this.held.add(name);
    const file: BlockFile = await this.files.open(name);
    return {
      read: (into, { at }) => {
        this.before("read", into.length);
        return file.readAt(at, into);
      },
      write: (bytes, { at }) => {
        const taken = this.before("write", bytes.length) ?? bytes.length;
        file.writeAt(at, bytes.subarray(0, taken));
        return taken;
      },
      truncate: (size) => {
        this.before("truncate", size);
        file.truncate(size);
      },
      flush: () => void this.before("flush", 0),
      getSize: () => file.size(),
      close: () => {
        this.before("close", 0);
        this.held.delete(name);
        void file.close();
      },
    };
  }
}

const filesOf = (directory: FakeDirectory, patienceMs = 0) =>
  new OpfsBlockFileSystem(directory.handle(), { name: "opfs:/test", patienceMs });

blockFileContract({ describe, it }, "OPFS handles", async () => {
  const directory = new FakeDirectory();
  return { files: filesOf(directory), reopen: () => filesOf(directory) };
});

async function open(directory: FakeDirectory): Promise<BlockFile> {
  const file = await filesOf(directory).open("log");
  file.writeAt(0, new Uint8Array(100).fill(1));
  return file;
}

describe("handles that misbehave", () => {
  it("a write of which the browser took less, or tells another count, is quota, and the file goes on", async () => {
    const directory = new FakeDirectory();
    const file = await open(directory);
    directory.before = (operation, length) => (operation === "write" ? Math.floor(length / 2) : undefined);
    expect(() => file.writeAt(50, new Uint8Array(200))).toThrow(
      expect.objectContaining({ code: "quota", message: expect.stringContaining("100 of 200 bytes") }),
    );
    expect(file.size(), "what arrived").toBe(150);
    directory.before = () => undefined;
    file.writeAt(50, new Uint8Array(200).fill(2));
    expect(file.size()).toBe(250);
    file.flush();
    await file.close();
  });

  it.each([
    ["QuotaExceededError", "quota"],
    ["InvalidStateError", "unavailable"],
    ["NotAllowedError", "forbidden"],
  ])("a write that fails with %s is %s", async (name, code) => {
    const directory = new FakeDirectory();
    const file = await open(directory);
    directory.before = () => {
      throw failureNamed(name);
    };
    expect(() => file.writeAt(0, new Uint8Array(1))).toThrow(expect.objectContaining({ code }));
    directory.before = () => undefined;
    await file.close();
  });

  it("a flush that failed poisons the file until it is opened again", async () => {
    const directory = new FakeDirectory();
    const file = await open(directory);
    directory.before = (operation) => {
      if (operation === "flush") throw failureNamed("InvalidStateError");
      return undefined;
    };
    expect(() => file.flush()).toThrow(expect.objectContaining({ code: "unavailable" }));
    directory.before = () => undefined;
    for (const write of [
      () => file.flush(),
      () => file.writeAt(0, new Uint8Array(1)),
      () => file.truncate(0),
    ])
      expect(write).toThrow(expect.objectContaining({ code: "unavailable", retryable: false }));
    expect(file.readAt(0, new Uint8Array(10)), "reads go on").toBe(10);
    await file.close();
    const again = await filesOf(directory).open("log");
    again.flush();
    await again.close();
  });

  it("a handle that somebody else has is busy; one that is let go soon enough is had", async () => {
    const directory = new FakeDirectory();
    const file = await open(directory);
    await expect(filesOf(directory).open("log")).rejects.toMatchObject({ code: "busy" });
    await expect(filesOf(directory).remove("log")).rejects.toMatchObject({ code: "busy" });
    const patient = filesOf(directory, 60_000);
    const waiting = patient.open("log");
    await file.close();
    const next = await waiting;
    await expect(patient.open("log"), "opened by itself").rejects.toMatchObject({ code: "busy" });
    await next.close();
  });

  it("a file that was evicted while it was open is told at the close, without asking its handle, which would never answer", async () => {
    const directory = new FakeDirectory();
    const files = filesOf(directory);
    const file = await files.open("log");
    directory.names.delete("log");
    directory.before = (operation) => {
      if (operation === "close") throw new Error("Chromium hangs here");
      return undefined;
    };
    await expect(file.close()).rejects.toMatchObject({ code: "unavailable", retryable: false });
    await file.close();
  });

  it("gives room back by being opened again: until then it reads nothing and is full", async () => {
    const directory = new FakeDirectory();
    const file = await open(directory);
    file.truncate(60);
    const back = file.giveBack?.();
    expect(file.readAt(0, new Uint8Array(10))).toBe(0);
    expect(() => file.writeAt(0, new Uint8Array(1))).toThrow(expect.objectContaining({ code: "quota" }));
    file.flush();
    await back;
    expect(file.readAt(0, new Uint8Array(100))).toBe(60);
    file.writeAt(60, new Uint8Array(5));
    expect(file.size()).toBe(65);
    const closing = file.giveBack?.();
    await file.close();
    await closing;
    expect([...directory.held]).toEqual([]);
  });
});
