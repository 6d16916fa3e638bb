/** Block files over IndexedDB beyond their contract: what is durable when, who owns a database, and what becomes of one that is taken away. */
import { IdbBlockFileSystem } from "../../../src/browser/idb-block-file.ts";
import { deleteBrowserStorage } from "../../../src/browser/storage.ts";
import type { BlockFile } from "../../../src/local/block-file.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure, sameBytes, testBytes } from "./checks.ts";
import { freshName } from "./storage-subject.ts";

async function idb(name: string): Promise<{ files: IdbBlockFileSystem; log: BlockFile }> {
  const files = await IdbBlockFileSystem.open(name);
  return { files, log: await files.open("log") };
}

export function idbCases({ it }: TestApi): void {
  it("what was flushed and is durable is there for whoever opens it next, without a close", async () => {
    const name = freshName();
    const { log } = await idb(name);
    const bytes = testBytes(600_000, 2);
    log.writeAt(100, bytes);
    log.flush();
    log.writeAt(200, testBytes(300_000, 3));
    await log.durable();
    const next = await idb(name);
    equal(next.log.size(), 600_100);
    const read = new Uint8Array(100);
    next.log.readAt(100, read);
    sameBytes(read, bytes.subarray(0, 100), "below what was written later");
    await next.log.close();
    await next.files.close();
  });

  it("many flushes at once are stored in order, whole", async () => {
    const name = freshName();
    const { log } = await idb(name);
    for (let i = 1; i <= 50; i++) {
      log.writeAt((i - 1) * 10_000, testBytes(10_000, i));
      log.writeAt(0, Uint8Array.of(i));
      log.flush();
    }
    await log.durable();
    const next = await idb(name);
    equal(next.log.size(), 500_000);
    for (let i = 2; i <= 50; i++) {
      const part = new Uint8Array(10_000);
      next.log.readAt((i - 1) * 10_000, part);
      sameBytes(part, testBytes(10_000, i), `part ${i}`);
    }
    await next.log.close();
    await next.files.close();
  });

  it("a file that shrinks gives its values back", async () => {
    const name = freshName();
    const { files, log } = await idb(name);
    log.writeAt(0, testBytes(1_000_000, 4));
    log.flush();
    await log.durable();
    log.truncate(300_000);
    log.writeAt(900_000, Uint8Array.of(7));
    log.flush();
    await log.durable();
    const next = await idb(name);
    const bytes = new Uint8Array(900_001);
    next.log.readAt(0, bytes);
    sameBytes(bytes.subarray(0, 300_000), testBytes(1_000_000, 4).subarray(0, 300_000));
    check(
      bytes.subarray(300_000, 900_000).every((byte) => byte === 0),
      "what was cut off came back",
    );
    equal(bytes[900_000], 7);
    await next.log.close();
    await next.files.close();
    await files.close();
  });

  it("a second owner takes it over, and the first is told and writes no more", async () => {
    const name = freshName();
    const first = await idb(name);
    first.log.writeAt(0, testBytes(1000, 5));
    first.log.flush();
    await first.log.durable();
    const second = await idb(name);
    second.log.writeAt(0, testBytes(1000, 6));
    second.log.flush();
    await second.log.durable();
    first.log.writeAt(0, testBytes(1000, 7));
    first.log.flush();
    const error = await failure(first.log.durable(), "busy");
    check(error.message.includes("taken it over"), error.message);
    check(
      await failure(
        Promise.resolve().then(() => first.log.flush()),
        "busy",
      ),
      "a later flush",
    );
    await first.log.close();
    await second.log.close();
    const third = await idb(name);
    const bytes = new Uint8Array(1000);
    third.log.readAt(0, bytes);
    sameBytes(bytes, testBytes(1000, 6));
    await third.log.close();
  });

  it("a connection that the browser closed, as Safari does now and then, is opened again", async () => {
    const name = freshName();
    const opened: IDBDatabase[] = [];
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...args) {
      const request = open.apply(this, args);
      request.addEventListener("success", () => opened.push(request.result));
      return request;
    };
    try {
      const { files, log } = await idb(name);
      log.writeAt(0, testBytes(1000, 11));
      log.flush();
      await log.durable();
      for (const database of opened.splice(0)) database.close();
      log.writeAt(1000, testBytes(1000, 12));
      log.flush();
      await log.durable();
      equal(opened.length, 1, "connections that were opened again");
      await log.close();
      await files.close();
      const next = await idb(name);
      equal(next.log.size(), 2000);
      await next.log.close();
      await next.files.close();
    } finally {
      IDBFactory.prototype.open = open;
    }
  });

  it("data that was deleted under it is not written to in part", async () => {
    const name = freshName();
    const { log } = await idb(name);
    log.writeAt(0, testBytes(1_000_000, 8));
    log.flush();
    await log.durable();
    await deleteBrowserStorage(name);
    log.writeAt(500_000, testBytes(100, 9));
    log.flush();
    const error = await failure(log.durable(), "unavailable");
    check(error.message.includes("removed"), error.message);
    await log.close();
    const next = await idb(name);
    equal(next.log.size(), 0, "size of the file that is new");
    await next.log.close();
    await next.files.close();
  });

  it("what is none of ours in the database is corrupt, not read", async () => {
    const name = freshName();
    const { log, files } = await idb(name);
    log.writeAt(0, testBytes(1000, 10));
    await log.close();
    await files.close();
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(`pagefold/${name}`);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const transaction = database.transaction("blocks", "readwrite");
    transaction.objectStore("blocks").put("text", "chunk/log/0");
    await new Promise((resolve) => {
      transaction.oncomplete = resolve;
    });
    database.close();
    await failure(idb(name), "corrupt");
  });
}
