/** The core of the library, as an application's page or worker uses it, over HTTP. */
import { isPagefoldError, type ObjectStore, PageStore, type Volume, withPrefix } from "../../../src/index.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure, sameBytes, testBytes } from "./checks.ts";
import { freshSpace, siteStore } from "./site-client.ts";

const PAGE = 4096;

/** Some work on a page store that is closed whatever happens. */
async function withStore<T>(remote: ObjectStore, work: (store: PageStore) => Promise<T>): Promise<T> {
  const store = await PageStore.open({ remote });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The same store, and the keys of its segments and commits that were read. */
function counting(inner: ObjectStore): { store: ObjectStore; bytesRead(): number } {
  let bytesRead = 0;
  const store: ObjectStore = {
    url: inner.url,
    capabilities: inner.capabilities,
    get: async (key, options) => {
      const bytes = await inner.get(key, options);
      bytesRead += bytes?.length ?? 0;
      return bytes;
    },
    put: (key, body, options) => inner.put(key, body, options),
    list: (prefix, options) => inner.list(prefix, options),
    delete: (keys, options) => inner.delete(keys, options),
    close: () => inner.close(),
  };
  return { store, bytesRead: () => bytesRead };
}

async function pushBytes(volume: Volume, offset: number, bytes: Uint8Array): Promise<void> {
  await volume.write(offset, bytes);
  await volume.push();
}

export function suite({ it }: TestApi): void {
  it("a volume that was pushed is cloned, read and verified by another store", async () => {
    const remote = siteStore(freshSpace());
    const bytes = testBytes(40 * PAGE, 1);
    const pushed = await withStore(remote, async (store) => {
      const volume = await store.createVolume({ tag: "main", pageSize: PAGE });
      await volume.write(0, bytes);
      const { lsn } = await volume.push();
      return { lsn, id: volume.id };
    });
    equal(pushed.lsn, 1, "LSN of the first push");
    await withStore(remote, async (store) => {
      const volume = await store.volume("main");
      equal(volume.id, pushed.id);
      equal(volume.status().residentPages, 0, "pages resident after a clone");
      sameBytes(await volume.read(0, bytes.length), bytes);
      const { pages } = await volume.verify();
      equal(pages, 40, "pages verified");
    });
  });

  it("invariant 6: a reader fetches only what it touches, and reads the same", async () => {
    const space = freshSpace();
    const bytes = testBytes(2000 * PAGE, 2);
    await withStore(siteStore(space), async (store) => {
      const volume = await store.createVolume({ tag: "main", pageSize: PAGE });
      await pushBytes(volume, 0, bytes);
    });
    const { store: remote, bytesRead } = counting(siteStore(space));
    await withStore(remote, async (store) => {
      const volume = await store.volume("main");
      const at = 1234 * PAGE + 100;
      sameBytes(await volume.read(at, 200), bytes.subarray(at, at + 200));
      const partial = bytesRead();
      check(partial < bytes.length / 8, `reading 200 bytes took ${partial} of ${bytes.length}`);
      await volume.hydrate();
      equal(volume.status().residentPages, 2000);
      sameBytes(await volume.read(0, bytes.length), bytes, "hydrated");
    });
  });

  it("invariant 1: an old state stays readable under new pushes, which a pull learns", async () => {
    const remote = siteStore(freshSpace());
    const first = testBytes(10 * PAGE, 3);
    const second = testBytes(3 * PAGE, 4);
    await withStore(remote, async (writer) => {
      const volume = await writer.createVolume({ tag: "main", pageSize: PAGE });
      await pushBytes(volume, 0, first);
      await withStore(remote, async (reader) => {
        const copy = await reader.volume("main");
        const before = copy.snapshot();
        await pushBytes(volume, 5 * PAGE, second);
        await copy.pull();
        sameBytes(await before.read(0, first.length), first, "the open snapshot");
        before.close();
        sameBytes(await copy.read(5 * PAGE, second.length), second, "after the pull");
        const past = await copy.at(1);
        sameBytes(await past.read(0, first.length), first, "the state at LSN 1");
        past.close();
      });
    });
  });

  it("invariant 5: of two writers one wins the LSN, the other is told that it diverged", async () => {
    const remote = siteStore(freshSpace());
    await withStore(remote, async (one) => {
      const mine = await one.createVolume({ tag: "main", pageSize: PAGE });
      await pushBytes(mine, 0, testBytes(PAGE, 5));
      await withStore(remote, async (two) => {
        const theirs = await two.volume("main");
        await mine.write(0, testBytes(PAGE, 6));
        await theirs.write(0, testBytes(PAGE, 7));
        const outcomes = await Promise.allSettled([mine.push(), theirs.push()]);
        const lost = outcomes.filter((outcome) => outcome.status === "rejected");
        equal(lost.length, 1, "writers that lost");
        check(isPagefoldError(lost[0]?.reason, "diverged"), `the loser was told ${lost[0]?.reason}`);
        const [winner, loser, seed] =
          outcomes[0]?.status === "fulfilled" ? [mine, theirs, 6] : [theirs, mine, 7];
        equal(winner.status().lsn, 2, "LSN of the winner");
        await loser.reset();
        await loser.pull();
        sameBytes(await loser.read(0, PAGE), testBytes(PAGE, seed), "after reset and pull");
      });
    });
  });

  it("a transaction that is rolled back leaves no trace", async () => {
    await withStore(siteStore(freshSpace()), async (store) => {
      const volume = await store.createVolume({ pageSize: PAGE });
      await pushBytes(volume, 0, testBytes(PAGE, 8));
      const transaction = await volume.begin();
      await transaction.write(1, testBytes(PAGE, 9));
      transaction.rollback();
      sameBytes(await volume.read(0, PAGE), testBytes(PAGE, 8));
      equal(volume.status().ahead, 0, "local commits");
    });
  });

  it("an unknown tag is not_found, and names the ones that exist", async () => {
    await withStore(withPrefix(siteStore(freshSpace()), "below"), async (store) => {
      await store.createVolume({ tag: "known" });
      const error = await failure(store.volume("unknown"), "not_found");
      check(error.message.includes("known"), error.message);
    });
  });
}

/** What the page sees of a volume in the site's main space. */
export async function readVolume({ tag }: { tag: string }): Promise<{ checksum: string; lsn: number }> {
  return withStore(siteStore(), async (store) => {
    const volume = await store.volume(tag);
    await volume.hydrate();
    const bytes = await volume.read(0, volume.snapshot().byteLength);
    const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
    const checksum = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return { checksum, lsn: volume.status().lsn };
  });
}

export async function writeVolume(args: {
  tag: string;
  length: number;
  seed: number;
}): Promise<{ volume: string; lsn: number }> {
  return withStore(siteStore(), async (store) => {
    const volume = await store.createVolume({ tag: args.tag, pageSize: PAGE });
    await volume.write(0, testBytes(args.length, args.seed));
    return { volume: volume.id, lsn: (await volume.push()).lsn };
  });
}

export async function verifyVolume({ tag }: { tag: string }): Promise<void> {
  await withStore(siteStore(), async (store) => (await store.volume(tag)).verify());
}
