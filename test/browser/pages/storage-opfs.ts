/** Block files over OPFS handles, which exist in workers only: their contract, and what another owner meets. */
import { OpfsBlockFileSystem } from "../../../src/browser/opfs-block-file.ts";
import { blockFileContract } from "../../contracts/block-file.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, failure } from "./checks.ts";
import { freshName, subjectOf, withStorage } from "./storage-subject.ts";

export function suite(api: TestApi): void {
  const { it } = api;
  blockFileContract(api, "opfs", () => subjectOf("opfs"));

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
}
