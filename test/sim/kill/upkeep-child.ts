/**
 * Compacts and collects until it is killed, or kills itself at a step. Arguments: the built package's Node entry, the store, the step at which it ends
 * itself ("never": at none), and how often it passes that step before. It has no local directory: nothing of a collection is kept here.
 */
import * as fs from "node:fs";
import { TAG } from "./content.ts";

const [entry, store, step, times] = process.argv.slice(2) as [string, string, string, string];
const { openStore } = (await import(entry)) as typeof import("../../../src/node/index.ts");

function say(text: string): void {
  fs.writeSync(1, `${text}\n`);
}

let left = Number(times);
function onStep(name: string): void {
  say(`step ${name}`);
  if (name === step && left-- === 0) process.kill(process.pid, "SIGKILL");
}

const pages = await openStore(store, { workers: 0 });
const volume = await pages.volume(TAG);
say("open");
for (let round = 1; ; round++) {
  await volume.pull();
  try {
    await volume.compact({ stepBytes: 1 << 19, all: round % 4 === 0, onStep: (point) => onStep(point) });
    // Whoever was killed has a lease: nobody waits for that here.
    await volume.collect({ lease: false, graceMs: 400, onStep: (name) => onStep(name) });
    say(`collected ${round}`);
  } catch (error) {
    // Another one that does the same was faster: begin again.
    if ((error as { code?: string }).code !== "conflict") throw error;
    say(`overtaken ${round}`);
  }
}
