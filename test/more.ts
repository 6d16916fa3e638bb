/** Tests that take long for what they add to the others run on demand: with PAGEFOLD_TEST_MORE=1, as `.ci/run` does; else they are skipped, with this reason. */
export const wantsMore = process.env.PAGEFOLD_TEST_MORE === "1";

/** Skips a test that is not asked for. */
export function onDemand(context: { skip(reason: string): void }): void {
  if (!wantsMore) context.skip("takes long; PAGEFOLD_TEST_MORE=1 runs it");
}
