/** Which pages a commit touched in any way: what asks "what did it change?" must not forget those that became zeros or went back. */
import type { CommitHeader } from "./model.ts";
import { PageSet } from "./page-set.ts";

type Pages = Pick<CommitHeader, "changed" | "zeroed" | "restored">;

/** Pages with new bytes, pages that became zeros, pages that went back to what an older commit wrote. */
export function touchedPages({ changed, zeroed, restored }: Pages): PageSet {
  return PageSet.unionAll([changed, zeroed, ...restored.map(({ pages }) => pages)]);
}

/** How many they are. O(1) for an ordinary commit. */
export function touchedPageCount({ changed, zeroed, restored }: Pages): number {
  return restored.reduce((sum, { pages }) => sum + pages.size, changed.size + zeroed.size);
}

export function restoredPages({ restored }: Pick<CommitHeader, "restored">): PageSet {
  return PageSet.unionAll(restored.map(({ pages }) => pages));
}
