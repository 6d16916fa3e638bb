/** Tells a volume that holds a SQLite database from one that holds something else, before SQLite is asked. */
import { PagefoldError } from "../../src/base/errors.ts";
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";

const MAGIC = "SQLite format 3\0";

/**
 * @param fetch carries a plan out without SQLite being under way, so it waits like anybody else: a bridge that fetches nothing can open a database,
 * and hydrate it then
 * @throws `invalid` where the view does not begin as a database does, or is empty and may not be
 */
export async function checkHoldsDatabase(
  view: PageView,
  fetch: (plan: FetchPlan<void>) => Promise<void>,
  name: string,
  mayBeEmpty: boolean,
): Promise<void> {
  const details = { tag: name, lsn: view.lsn };
  if (view.byteLength === 0) {
    if (mayBeEmpty) return;
    throw new PagefoldError(
      "invalid",
      `"${name}" is empty at LSN ${view.lsn}, so there is no database in it; import one (pagefold import FILE --tag NAME), or open it for writing`,
      { details },
    );
  }
  const start = new Uint8Array(MAGIC.length);
  if (!view.tryRead(0, start)) {
    await fetch(view.fault(0, start.length));
    // Evicted at once only where the cache is tiny; SQLite's own reads then tell.
    if (!view.tryRead(0, start)) return;
  }
  if (String.fromCharCode(...start) === MAGIC) return;
  throw new PagefoldError(
    "invalid",
    `"${name}" holds a file that is no SQLite database (it does not begin with "SQLite format 3"); read it as a file (pagefold read, pagefold export), or query a volume into which a database was imported`,
    { details },
  );
}
