/**
 * Finding out, before the first write, whether a store may be written at all. A commit is "create this object if absent": on a
 * store that ignores the condition, two writers would both believe that they won, and one's commit would be lost in silence.
 */
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { ObjectStore } from "./object-store.ts";

const answers = new WeakMap<ObjectStore, Promise<boolean>>();

/**
 * Whether the store honours `ifAbsent`, found out by creating one object under `probe/` twice. The answer is remembered per
 * store instance; a probe that could not be finished (its error is thrown) is not.
 */
export function probeConditionalCreate(store: ObjectStore, runtime: Runtime): Promise<boolean> {
  const { conditionalCreate } = store.capabilities;
  if (conditionalCreate !== "unknown") return Promise.resolve(conditionalCreate === "yes");
  let answer = answers.get(store);
  if (answer === undefined) {
    answer = probe(store, runtime).catch((error: unknown) => {
      answers.delete(store);
      throw error;
    });
    answers.set(store, answer);
  }
  return answer;
}

/**
 * Throws `forbidden` unless the store can be written safely: it takes writes, and honours conditional creation. Errors of the
 * probe itself (`unavailable`, `unauthorized`, …) come through. Call it before the first write; later calls cost nothing.
 */
export async function assertWritable(store: ObjectStore, runtime: Runtime): Promise<void> {
  const details = { store: store.url };
  if (!store.capabilities.write) {
    throw new PagefoldError(
      "forbidden",
      `${store.url} is read-only: reading works; to write, open the store itself rather than a published copy`,
      { details },
    );
  }
  if (await probeConditionalCreate(store, runtime)) return;
  throw new PagefoldError(
    "forbidden",
    `${store.url} ignores or rejects conditional creation (If-None-Match: *), so two writers could overwrite each other's commits: ` +
      "writing is refused, reading works; use a store with conditional writes (AWS S3, Ceph, MinIO, R2, a directory)",
    { details },
  );
}

async function probe(store: ObjectStore, runtime: Runtime): Promise<boolean> {
  const id = [...runtime.randomBytes(new Uint8Array(16))]
    .map((b) => b.toString(16).padStart(2, "0"))
    .join("");
  const key = `probe/${id}`;
  const first = new TextEncoder().encode(`${id} first`);
  const second = new TextEncoder().encode(`${id} second`);
  try {
    // The name is ours alone, so "exists" here can only mean an own attempt that was repeated underneath.
    await store.put(key, first, { ifAbsent: true });
    const outcome = await store.put(key, second, { ifAbsent: true });
    const stored = await store.get(key);
    return outcome === "exists" && stored !== undefined && equal(stored, first);
  } catch (error) {
    if (!isPagefoldError(error, "invalid")) throw error;
    // Is it the condition that the store rejects, or everything we send (a wrong region, a key that it cannot hold)?
    await store.put(key, first).catch(() => {
      throw error;
    });
    return false;
  } finally {
    // A store that keeps what it was given (object lock, no right to delete) keeps a few bytes more.
    await store.delete([key]).catch(() => {});
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
