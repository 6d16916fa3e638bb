/** What every BlockFileSystem owes: run over each implementation, and usable for one's own. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";

export interface BlockFileSubject {
  readonly files: BlockFileSystem;
  /** Another file system over the same bytes, as a later run would open it. Absent where nothing outlives the first. */
  readonly reopen?: () => BlockFileSystem;
  readonly cleanup?: () => Promise<void> | void;
}

function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}

function read(file: BlockFile, offset: number, length: number): Uint8Array {
  const into = new Uint8Array(length).fill(0xee);
  return into.subarray(0, file.readAt(offset, into));
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (e) {
    return isPagefoldError(e) ? e.code : String(e);
  }
  return undefined;
}

export function blockFileContract(name: string, create: () => Promise<BlockFileSubject>): void {
  describe(`BlockFile contract: ${name}`, () => {
    let subject: BlockFileSubject;
    let files: BlockFileSystem;
    let file: BlockFile;

    beforeEach(async () => {
      subject = await create();
      files = subject.files;
      file = await files.open("data");
    });

    afterEach(async () => {
      await file.close();
      await subject.cleanup?.();
    });

    it("creates an empty file", () => {
      expect(file.size()).toBe(0);
      expect(read(file, 0, 10)).toHaveLength(0);
      expect(file.name).toContain("data");
    });

    it("reads back what was written, at once, at any offset", () => {
      const a = bytes(5000, 1);
      file.writeAt(0, a);
      expect(read(file, 0, 5000)).toEqual(a);
      file.writeAt(4097, bytes(3, 2));
      expect(read(file, 4097, 3)).toEqual(bytes(3, 2));
      expect(read(file, 4096, 1)).toEqual(a.subarray(4096, 4097));
      expect(file.size()).toBe(5000);
    });

    it("reads short only at the end of the file, and leaves the rest of the buffer alone", () => {
      file.writeAt(0, bytes(100, 1));
      const into = new Uint8Array(50).fill(7);
      expect(file.readAt(80, into)).toBe(20);
      expect(into.subarray(0, 20)).toEqual(bytes(100, 1).subarray(80));
      expect(into.subarray(20).every((b) => b === 7)).toBe(true);
      expect(file.readAt(100, into)).toBe(0);
      expect(file.readAt(1_000_000, into)).toBe(0);
    });

    it("grows by writing beyond the end, and the gap reads as zeros", () => {
      file.writeAt(700_000, bytes(10, 3));
      expect(file.size()).toBe(700_010);
      expect(read(file, 0, 700_000).every((b) => b === 0)).toBe(true);
      expect(read(file, 700_000, 10)).toEqual(bytes(10, 3));
    });

    it("writes large buffers and reads across whatever it is chunked by", () => {
      const a = bytes(3_000_001, 4);
      file.writeAt(123, a);
      expect(Buffer.compare(read(file, 123, a.length), a)).toBe(0);
      expect(read(file, 999_000, 70_000)).toEqual(a.subarray(999_000 - 123, 999_000 - 123 + 70_000));
    });

    it("addresses beyond 4 GiB", () => {
      const far = 2 ** 32 + 12_345;
      file.writeAt(far, bytes(16, 5));
      expect(file.size()).toBe(far + 16);
      expect(read(file, far, 16)).toEqual(bytes(16, 5));
      expect(read(file, 12_345, 16).every((b) => b === 0)).toBe(true);
      file.truncate(0);
    });

    it("truncates, and grows again into zeros", () => {
      file.writeAt(0, bytes(10_000, 6));
      file.truncate(1000);
      expect(file.size()).toBe(1000);
      file.truncate(20_000);
      expect(file.size()).toBe(20_000);
      expect(read(file, 0, 1000)).toEqual(bytes(10_000, 6).subarray(0, 1000));
      expect(read(file, 1000, 19_000).every((b) => b === 0)).toBe(true);
      file.truncate(500);
      file.writeAt(600, bytes(1, 1));
      expect(read(file, 500, 100).every((b) => b === 0)).toBe(true);
    });

    it("takes an empty write as nothing", () => {
      file.writeAt(1000, new Uint8Array(0));
      expect(file.size()).toBe(0);
    });

    it("does not keep the caller's buffer", () => {
      const a = bytes(100, 7);
      file.writeAt(0, a);
      a.fill(0);
      expect(read(file, 0, 100)).toEqual(bytes(100, 7));
    });

    it("writes and reads through views with an offset", () => {
      const whole = bytes(300, 8);
      file.writeAt(0, whole.subarray(100, 200));
      const into = new Uint8Array(300);
      file.readAt(0, into.subarray(50, 150));
      expect(into.subarray(50, 150)).toEqual(whole.subarray(100, 200));
      expect(into[49]).toBe(0);
      expect(into[150]).toBe(0);
    });

    it("flushes, and says when that is durable", async () => {
      file.writeAt(0, bytes(100, 9));
      file.flush();
      await file.durable();
      expect(["flush", "deferred"]).toContain(file.durability);
    });

    it("refuses offsets that are no offsets", () => {
      expect(codeOf(() => file.readAt(-1, new Uint8Array(1)))).toBe("invalid");
      expect(codeOf(() => file.writeAt(0.5, new Uint8Array(1)))).toBe("invalid");
      expect(codeOf(() => file.writeAt(2 ** 60, new Uint8Array(1)))).toBe("invalid");
      expect(codeOf(() => file.truncate(Number.NaN))).toBe("invalid");
    });

    it("is closed once, and says so afterwards", async () => {
      await file.close();
      await file.close();
      expect(codeOf(() => file.readAt(0, new Uint8Array(1)))).toBe("closed");
      expect(codeOf(() => file.writeAt(0, new Uint8Array(1)))).toBe("closed");
      expect(codeOf(() => file.flush())).toBe("closed");
      expect(codeOf(() => file.size())).toBe("closed");
    });

    it("opens a file once at a time", async () => {
      await expect(files.open("data")).rejects.toMatchObject({ code: "busy" });
      await expect(files.remove("data")).rejects.toMatchObject({ code: "busy" });
      await file.close();
      file = await files.open("data");
    });

    it("keeps bytes over close and open", async () => {
      file.writeAt(0, bytes(5000, 10));
      file.flush();
      await file.durable();
      await file.close();
      file = await (subject.reopen?.() ?? files).open("data");
      expect(read(file, 0, 5000)).toEqual(bytes(5000, 10));
      expect(file.size()).toBe(5000);
    });

    it("lists, finds and removes files", async () => {
      const other = await files.open("other-file.1");
      other.writeAt(0, bytes(10, 1));
      await other.close();
      expect(await files.list()).toEqual(["data", "other-file.1"]);
      expect(await files.exists("other-file.1")).toBe(true);
      await files.remove("other-file.1");
      await files.remove("other-file.1");
      expect(await files.exists("other-file.1")).toBe(false);
      expect(await files.list()).toEqual(["data"]);
      const again = await files.open("other-file.1");
      expect(again.size()).toBe(0);
      await again.close();
    });
  });
}
