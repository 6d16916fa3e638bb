/** Loads `verbs.ts` when it is first needed, once; after that a verb is called as if it had been there. */
import { loadPart } from "../base/load-part.ts";

type Verbs = typeof import("./verbs.ts");

let loaded: Verbs | undefined;

/** To be ready for being offline, or for the first call. @throws `unavailable` where the code cannot be had; the next call tries again */
export async function loadVerbs(): Promise<Verbs> {
  loaded ??= await loadPart(() => import("./verbs.ts"));
  return loaded;
}

/** Calls at once where they are loaded. */
export function withVerbs<T>(work: (verbs: Verbs) => Promise<T>): Promise<T> {
  return loaded === undefined ? loadVerbs().then(work) : work(loaded);
}

export function withVerb<T>(
  work: (verbs: Verbs) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  return loaded === undefined ? later(work) : work(loaded);
}

async function* later<T>(
  work: (verbs: Verbs) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  yield* work(await loadVerbs());
}
