/**
 * Opens the volume anew, again and again, and reads all of it, saying which number it found; wrong bytes end it. Arguments: the built package's Node
 * entry and the store.
 */
import * as fs from "node:fs";
import { Content, numberIn, OWNER_PAGE, PAGE_BYTES, TAG } from "./content.ts";

const [entry, store] = process.argv.slice(2) as [string, string];
const { openStore } = (await import(entry)) as typeof import("../../../src/node/index.ts");

function say(text: string): void {
  fs.writeSync(1, `${text}\n`);
}

const content = new Content();
say("open");
for (let turn = 1; ; turn++) {
  const pages = await openStore(store, { workers: 0 });
  try {
    const volume = await pages.volume(TAG);
    const snapshot = volume.snapshot();
    const bytes = await snapshot.read(0, snapshot.byteLength);
    snapshot.close();
    const n = numberIn(bytes);
    const expected = content.at(n).slice();
    const owner = (OWNER_PAGE - 1) * PAGE_BYTES;
    if (n > 0) expected.set(bytes.subarray(owner, owner + PAGE_BYTES), owner);
    if (Buffer.compare(bytes, expected) !== 0) throw new Error(`wrong bytes after commit ${n}`);
    say(`read ${n}`);
  } catch (error) {
    // A slow reader of a state that is not kept any more: the grace period is short here.
    if ((error as { code?: string }).code !== "not_found") throw error;
    say(`too late ${turn}`);
  } finally {
    await pages.close();
  }
}
