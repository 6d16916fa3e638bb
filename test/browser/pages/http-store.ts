/** The conformance suite of object stores over `fetch` as a browser has it. */
import { objectStoreContract, type TestApi } from "../../contracts/object-store.ts";
import { freshSpace, siteStore } from "./site-client.ts";

export function suite(api: TestApi): void {
  objectStoreContract(
    api,
    "HTTP",
    async () => {
      const space = freshSpace();
      return { store: siteStore(space), reopen: async () => siteStore(space) };
    },
    { largeBytes: 8 * 1_048_576 },
  );
}
