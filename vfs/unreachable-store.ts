/** Stands for a store that could not be opened: every call fails with the reason, so that what is resident can still be read. */
import { PagefoldError } from "../src/base/errors.ts";
import type { ObjectStore } from "../src/remote/object-store.ts";

export function unreachableStore(url: string, cause: Error): ObjectStore {
  const fail = async (): Promise<never> => {
    // Not retryable: the store is not opened again behind the caller's back.
    throw new PagefoldError(
      "unavailable",
      `the store cannot be reached, and this needs it (${cause.message}); try again when it is back`,
      { cause, retryable: false },
    );
  };
  return {
    url,
    capabilities: { write: false, list: false, conditionalCreate: "no" },
    get: fail,
    put: fail,
    list: fail,
    delete: fail,
    close: async () => {},
  };
}
