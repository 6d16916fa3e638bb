/**
 * What every BlockFileSystem owes: run over each implementation, and usable for one's own. Of a test framework it needs only `describe` and `it`,
 * so that it runs inside a page or a worker, too.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";
import type { TestApi } from "./object-store.ts";

export interface BlockFileSubject {
  readonly files: BlockFileSystem;
  /** Another file system over the same bytes, as a later run would open it. Absent where nothing outlives the first. */
  readonly reopen?: () => BlockFileSystem | Promise<BlockFileSystem>;
  readonly cleanup?: () => Promise<void> | void;
}

/** What a case works with: an empty file "data", open, which it may close and open again. */
interface Fixture {
  readonly subject: BlockFileSubject;
  readonly files: BlockFileSystem;
  file: BlockFile;
}

export function blockFileContract(api: TestApi, name: string, create: () => Promise<BlockFileSubject>): void {
  function it(title: string, body: (fixture: Fixture) => void | Promise<void>): void {
    api.it(title, async () => {
      const subject = await create();
      const fixture: Fixture = { subject, files: subject.files, file: await subject.files.open("data") };
      try {
        await body(fixture);
      } finally {
        await fixture.file.close();
        await subject.cleanup?.();
      }
    });
  }

  api.describe(`BlockFile contract: ${name}`, () => {
    it("creates an empty file", ({ file }) => {
      equal(file.size(), 0);
      equal(read(file, 0, 10).length, 0);
      check(file.name.includes("data"), `its name is ${file.name}`);
    });

    it("reads back what was written, at once, at any offset", ({ file }) => {
      const a = bytes(5000, 1);
      file.writeAt(0, a);
      sameBytes(read(file, 0, 5000), a);
      file.writeAt(4097, bytes(3, 2));
      sameBytes(read(file, 4097, 3), bytes(3, 2));
      sameBytes(read(file, 4096, 1), a.subarray(4096, 4097));
      equal(file.size(), 5000);
    });

    it("reads short only at the end of the file, and leaves the rest of the buffer alone", ({ file }) => {
      file.writeAt(0, bytes(100, 1));
      const into = new Uint8Array(50).fill(7);
      equal(file.readAt(80, into), 20);
      sameBytes(into.subarray(0, 20), bytes(100, 1).subarray(80));
      check(
        into.subarray(20).every((b) => b === 7),
        "the rest of the buffer was written to",
      );
      equal(file.readAt(100, into), 0);
      equal(file.readAt(1_000_000, into), 0);
    });

    it("grows by writing beyond the end, and the gap reads as zeros", ({ file }) => {
      file.writeAt(700_000, bytes(10, 3));
      equal(file.size(), 700_010);
      check(
        read(file, 0, 700_000).every((b) => b === 0),
        "not all zeros",
      );
      sameBytes(read(file, 700_000, 10), bytes(10, 3));
    });

    it("writes large buffers and reads across whatever it is chunked by", ({ file }) => {
      const a = bytes(3_000_001, 4);
      file.writeAt(123, a);
      sameBytes(read(file, 123, a.length), a);
      sameBytes(read(file, 999_000, 70_000), a.subarray(999_000 - 123, 999_000 - 123 + 70_000));
    });

    it("addresses beyond 4 GiB", ({ file }) => {
      const far = 2 ** 32 + 12_345;
      file.writeAt(far, bytes(16, 5));
      equal(file.size(), far + 16);
      sameBytes(read(file, far, 16), bytes(16, 5));
      check(
        read(file, 12_345, 16).every((b) => b === 0),
        "not all zeros",
      );
      file.truncate(0);
    });

    it("truncates, and grows again into zeros", ({ file }) => {
      file.writeAt(0, bytes(10_000, 6));
      file.truncate(1000);
      equal(file.size(), 1000);
      file.truncate(20_000);
      equal(file.size(), 20_000);
      sameBytes(read(file, 0, 1000), bytes(10_000, 6).subarray(0, 1000));
      check(
        read(file, 1000, 19_000).every((b) => b === 0),
        "not all zeros",
      );
      file.truncate(500);
      file.writeAt(600, bytes(1, 1));
      check(
        read(file, 500, 100).every((b) => b === 0),
        "not all zeros",
      );
    });

    it("takes an empty write as nothing", ({ file }) => {
      file.writeAt(1000, new Uint8Array(0));
      equal(file.size(), 0);
    });

    it("does not keep the caller's buffer", ({ file }) => {
      const a = bytes(100, 7);
      file.writeAt(0, a);
      a.fill(0);
      sameBytes(read(file, 0, 100), bytes(100, 7));
    });

    it("writes and reads through views with an offset", ({ file }) => {
      const whole = bytes(300, 8);
      file.writeAt(0, whole.subarray(100, 200));
      const into = new Uint8Array(300);
      file.readAt(0, into.subarray(50, 150));
      sameBytes(into.subarray(50, 150), whole.subarray(100, 200));
      equal(into[49], 0);
      equal(into[150], 0);
    });

    it("flushes, and says when that is durable", async ({ file }) => {
      file.writeAt(0, bytes(100, 9));
      file.flush();
      await file.durable();
      check(["flush", "deferred"].includes(file.durability), `its durability is ${file.durability}`);
    });

    it("refuses offsets that are no offsets", ({ file }) => {
      equal(
        codeOf(() => file.readAt(-1, new Uint8Array(1))),
        "invalid",
      );
      equal(
        codeOf(() => file.writeAt(0.5, new Uint8Array(1))),
        "invalid",
      );
      equal(
        codeOf(() => file.writeAt(2 ** 60, new Uint8Array(1))),
        "invalid",
      );
      equal(
        codeOf(() => file.truncate(Number.NaN)),
        "invalid",
      );
    });

    it("is closed once, and says so afterwards", async ({ file }) => {
      await file.close();
      await file.close();
      equal(
        codeOf(() => file.readAt(0, new Uint8Array(1))),
        "closed",
      );
      equal(
        codeOf(() => file.writeAt(0, new Uint8Array(1))),
        "closed",
      );
      equal(
        codeOf(() => file.flush()),
        "closed",
      );
      equal(
        codeOf(() => file.size()),
        "closed",
      );
    });

    it("opens a file once at a time", async (fixture) => {
      const { files } = fixture;
      equal(await failureOf(files.open("data")), "busy");
      equal(await failureOf(files.remove("data")), "busy");
      await fixture.file.close();
      fixture.file = await files.open("data");
    });

    it("keeps bytes over close and open", async (fixture) => {
      const { file, files, subject } = fixture;
      file.writeAt(0, bytes(5000, 10));
      file.flush();
      await file.durable();
      await file.close();
      fixture.file = await ((await subject.reopen?.()) ?? files).open("data");
      sameBytes(read(fixture.file, 0, 5000), bytes(5000, 10));
      equal(fixture.file.size(), 5000);
    });

    it("lists, finds and removes files", async ({ files }) => {
      const other = await files.open("other-file.1");
      other.writeAt(0, bytes(10, 1));
      await other.close();
      equal((await files.list()).join(), "data,other-file.1");
      equal(await files.exists("other-file.1"), true);
      await files.remove("other-file.1");
      await files.remove("other-file.1");
      equal(await files.exists("other-file.1"), false);
      equal((await files.list()).join(), "data");
      const again = await files.open("other-file.1");
      equal(again.size(), 0);
      await again.close();
    });
  });
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

function failureOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (e) => (isPagefoldError(e) ? e.code : String(e)),
  );
}

function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function equal(actual: unknown, expected: unknown): void {
  check(actual === expected, `expected ${String(expected)}, got ${String(actual)}`);
}

function sameBytes(actual: Uint8Array, expected: Uint8Array): void {
  equal(actual.length, expected.length);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  check(at === -1, `byte ${at} is ${actual[at]}, not ${expected[at]}`);
}
