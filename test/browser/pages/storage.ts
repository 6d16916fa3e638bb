/** The storage of browsers, in a page or a worker: the contract of block files over each kind, which kind is chosen, and who owns it. */
import {
  type BrowserStorage,
  deleteBrowserStorage,
  listBrowserStorage,
  openBrowserStorage,
  persistStorage,
  storageEstimate,
} from "../../../src/browser/storage.ts";
import { blockFileContract } from "../../contracts/block-file.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure, sameBytes, testBytes } from "./checks.ts";
import { idbCases } from "./storage-idb.ts";
import { freshName, subjectOf, withStorage } from "./storage-subject.ts";

const HERE = "document" in globalThis ? "page" : "worker";

async function writeFile({ files }: BrowserStorage, name: string, bytes: Uint8Array): Promise<void> {
  const file = await files.open(name);
  file.writeAt(0, bytes);
  file.flush();
  await file.durable();
  await file.close();
}

async function readFile({ files }: BrowserStorage, name: string): Promise<Uint8Array> {
  const file = await files.open(name);
  const bytes = new Uint8Array(file.size());
  file.readAt(0, bytes);
  await file.close();
  return bytes;
}

export function suite(api: TestApi): void {
  blockFileContract(api, "indexeddb", () => subjectOf("indexeddb"));
  api.describe("the storage of a name", () => choiceCases(api));
  api.describe("IndexedDB behind block files", () => idbCases(api));
}

function choiceCases({ it }: TestApi): void {
  it("is OPFS in a worker, and IndexedDB in a page, which is told why", async () => {
    await withStorage({ name: freshName() }, async ({ kind, passedOver }) => {
      equal(kind, HERE === "worker" ? "opfs" : "indexeddb");
      equal(passedOver.length, HERE === "worker" ? 0 : 1);
      if (HERE === "page") check(passedOver[0]?.includes("dedicated worker"), String(passedOver[0]));
    });
  });

  it("is there again, whatever kind it was", async () => {
    for (const kind of HERE === "worker" ? (["opfs", "indexeddb"] as const) : (["indexeddb"] as const)) {
      const name = freshName();
      const bytes = testBytes(700_000, 1);
      await withStorage({ name, kind }, (storage) => writeFile(storage, "log", bytes));
      // What a name holds stays where it is, even where there would be better now.
      await withStorage({ name }, async (storage) => {
        equal(storage.kind, kind);
        sameBytes(await readFile(storage, "log"), bytes);
      });
      await deleteBrowserStorage(name);
      await withStorage({ name, kind }, async (storage) => {
        equal(await storage.files.exists("log"), false, "after it was deleted");
      });
    }
  });

  it("has one owner: others are told it is busy, and get it after its release", async () => {
    for (const kind of HERE === "worker" ? (["opfs", "indexeddb"] as const) : (["indexeddb"] as const)) {
      const name = freshName();
      const first = await openBrowserStorage({ name, kind });
      const error = await failure(openBrowserStorage({ name, waitMs: 0 }), "busy");
      check(error.message.includes("another tab or worker"), error.message);
      await failure(openBrowserStorage({ name, waitMs: 50 }), "busy");
      await failure(deleteBrowserStorage(name), "busy");
      const waiting = openBrowserStorage({ name, kind, waitMs: 60_000 });
      await first.release();
      await first.release();
      await (await waiting).release();
    }
  });

  it("in memory belongs to whoever opened it", async () => {
    const name = freshName();
    await withStorage({ name, kind: "memory" }, async (storage) => {
      equal(storage.kind, "memory");
      await writeFile(storage, "log", testBytes(10, 1));
      await withStorage({ name, kind: "memory" }, async (other) => {
        equal(await other.files.exists("log"), false);
      });
    });
    check(!(await listBrowserStorage()).some((entry) => entry.name === name), "memory was listed");
  });

  it("is listed, with its kind, until it is deleted", async () => {
    const name = freshName();
    const kind = HERE === "worker" ? "opfs" : "indexeddb";
    await withStorage({ name }, (storage) => writeFile(storage, "log", testBytes(10, 1)));
    const listed = async () => (await listBrowserStorage()).filter((entry) => entry.name === name);
    equal(await listed(), [{ name, kind }]);
    await deleteBrowserStorage(name);
    await deleteBrowserStorage(name);
    equal(await listed(), []);
  });

  it("must be a plain one", async () => {
    for (const name of ["", "/data", "a/b", "..", "a b", "ü", "x".repeat(201)]) {
      const error = await failure(openBrowserStorage({ name }), "invalid");
      check(error.message.includes("no local directory"), error.message);
      await failure(deleteBrowserStorage(name), "invalid");
    }
  });

  it("tells how much room there is, and whether it may be taken away", async () => {
    const before = await storageEstimate();
    check(before !== undefined && before.quotaBytes > 0, `an estimate: ${JSON.stringify(before)}`);
    equal(typeof (await persistStorage()), "boolean");
  });
}

/** What a page may not do, and what it must not do instead. */
export async function refuseOpfsInPage(): Promise<void> {
  const name = freshName();
  const error = await failure(openBrowserStorage({ name, kind: "opfs" }), "unavailable");
  check(error.message.includes("dedicated worker"), error.message);
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("pagefold", { create: true });
  const directory = await folder.getDirectoryHandle(name, { create: true });
  await directory.getFileHandle("header", { create: true });
  await failure(openBrowserStorage({ name }), "unavailable");
  await deleteBrowserStorage(name);
  await withStorage({ name }, async ({ kind }) => equal(kind, "indexeddb"));
}
