/**
 * Commits and pushes until it is killed, saying so after each acknowledgement. Arguments: the built package's Node entry, the
 * store, the local directory, its name, and "alone" or "racing". Racing, it gives its local commits up when it has diverged.
 */
import * as fs from "node:fs";
import { numberIn, OWNER_PAGE, PAGE_BYTES, pagesOf, TAG } from "./content.ts";

const [entry, store, local, name, mode] = process.argv.slice(2) as [string, string, string, string, string];
const { openStore } = (await import(entry)) as typeof import("../../../src/node/index.ts");

/** Synchronous, so that whatever was acknowledged has been said before anything else happens. */
function say(text: string): void {
  fs.writeSync(1, `${text}\n`);
}

const pages = await openStore(store, { local, workers: 0 });
const volume = await pages.volume(TAG);
await volume.pull().catch((error: unknown) => {
  if (mode === "alone") throw error;
});
say("open");
for (let turn = 1; ; turn++) {
  const n = numberIn(await volume.read(0, 8)) + 1;
  const transaction = await volume.begin();
  for (const [page, bytes] of pagesOf(n)) transaction.writePage(page, bytes);
  const owner = new Uint8Array(PAGE_BYTES);
  owner.set(new TextEncoder().encode(`${name} ${n} ${turn} ${process.pid}`));
  transaction.writePage(OWNER_PAGE, owner);
  say(`committing ${n}`);
  transaction.commit();
  say(`committed ${n}`);
  if (turn % 5 !== 0) continue;
  say(`pushing ${n}`);
  try {
    const { lsn } = await volume.push();
    say(`pushed ${n} ${lsn}`);
  } catch (error) {
    if (mode === "alone" || (error as { code?: string }).code !== "diverged") throw error;
    say("resetting");
    await volume.reset();
    await volume.pull();
    say("reset");
  }
}
