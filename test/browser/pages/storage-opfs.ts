/** Block files over OPFS handles, which exist in workers only: their contract, and what another owner meets. */
import { OpfsBlockFileSystem } from "../../../src/browser/opfs-block-file.ts";
import { openBrowserStorage } from "../../../src/browser/storage.ts";
import { blockFileContract } from "../../contracts/block-file.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { freshName, subjectOf, withStorage } from "./storage-subject.ts";

export function suite(api: TestApi): void {
  const { it } = api;
  blockFileContract(api, "opfs", () => subjectOf("opfs"));
  withoutLocks(api);

  it("a handle that another owner holds is busy, with what to do", async () => {
    await withStorage({ name: freshName() }, async ({ files }) => {
      const file = await files.open("log");
      // A second file system over the same directory, as without Web Locks.
      const path = files.name.slice("opfs:/pagefold/".length);
      const root = await navigator.storage.getDirectory();
      const directory = await (await root.getDirectoryHandle("pagefold")).getDirectoryHandle(path);
      const other = new OpfsBlockFileSystem(directory, { name: "other", patienceMs: 30_000 });
      const hasty = new OpfsBlockFileSystem(directory, { name: "hasty" });
      const error = await failure(hasty.open("log"), "busy");
      check(error.message.includes("close the database there"), error.message);
      await failure(hasty.remove("log"), "busy");
      const waiting = other.open("log");
      await file.close();
      await (await waiting).close();
    });
  });

  it("where the browser refuses it there is IndexedDB, and where it refuses both, memory, which is told", async () => {
    const refuse = () => {
      throw new DOMException("refused", "SecurityError");
    };
    const restore = [replace(StorageManager.prototype, "getDirectory", async () => refuse())];
    try {
      await withStorage({ name: freshName() }, async ({ kind, passedOver }) => {
        equal([kind, passedOver.length], ["indexeddb", 1]);
        check(passedOver[0]?.includes("refuses storage here"), String(passedOver[0]));
      });
      restore.push(replace(IDBFactory.prototype, "open", refuse));
      await withStorage({ name: freshName() }, async ({ kind, passedOver }) => {
        equal([kind, passedOver.length], ["memory", 2]);
        check(passedOver[1]?.includes("indexeddb:"), String(passedOver[1]));
      });
      await failure(openBrowserStorage({ name: freshName(), kind: "opfs" }), "forbidden");
      await failure(openBrowserStorage({ name: freshName(), kind: "indexeddb" }), "forbidden");
    } finally {
      for (const back of restore) back();
    }
  });
}

/** A browser, or a page of plain `http:`, without Web Locks. */
function withoutLocks(api: TestApi): void {
  const { it } = api;
  const alone = async (work: () => Promise<void>) => {
    Object.defineProperty(navigator, "locks", { value: undefined, configurable: true });
    try {
      await work();
    } finally {
      Reflect.deleteProperty(navigator, "locks");
    }
  };

  it("without Web Locks the handles of OPFS keep a second owner out", () =>
    alone(async () => {
      const name = freshName();
      const first = await openBrowserStorage({ name, kind: "opfs" });
      await failure(openBrowserStorage({ name, waitMs: 0 }), "busy");
      const waiting = openBrowserStorage({ name, waitMs: 60_000 });
      await first.release();
      await (await waiting).release();
    }));

  it("without Web Locks a second owner of IndexedDB takes over, and the first is told", () =>
    alone(async () => {
      const name = freshName();
      const first = await openBrowserStorage({ name, kind: "indexeddb" });
      const file = await first.files.open("log");
      const second = await openBrowserStorage({ name, kind: "indexeddb" });
      file.writeAt(0, Uint8Array.of(1));
      file.flush();
      await failure(file.durable(), "busy");
      await file.close();
      await first.release();
      equal(await second.files.exists("log"), false);
      await second.release();
    }));
}

/** Answers how to put the method back. */
function replace(owner: object, name: string, method: (...args: never[]) => unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name) as PropertyDescriptor;
  Object.defineProperty(owner, name, { ...before, value: method });
  return () => void Object.defineProperty(owner, name, before);
}
