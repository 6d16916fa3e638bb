/** Collects a volume of many objects: collect.mjs PATH, of a log that `bench/data/flat-log.mjs` wrote; prints memory and counts as JSON. */
import { FlatLog } from "../data/flat-log.mjs";
import { load } from "../lib/setup.mjs";

const [path, now] = process.argv.slice(2);
const { MemoryObjectStore, PageStore } = await load("index");
const flat = new FlatLog(path, new MemoryObjectStore());
await flat.ready;
let clock = Number(now);
const runtime = {
  now: () => clock,
  monotonic: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  randomBytes: (bytes) => crypto.getRandomValues(bytes),
  random: Math.random,
};
const store = await PageStore.open({ remote: flat, runtime });
const volume = await store.volume(flat.volume);
await volume.setRetention({ all: "1h" });
globalThis.gc();
const before = process.memoryUsage().rss;
const start = performance.now();
await volume.collect();
// The floor before the first was that nothing may go: it holds for the grace period.
clock += 2 * 3600 * 1000;
const result = await volume.collect();
const seconds = (performance.now() - start) / 1000;
console.log(
  JSON.stringify({
    ...{ objects: flat.objects, deleted: flat.deleted, seconds, before },
    peak: process.resourceUsage().maxRSS * 1024,
    result,
  }),
);
await store.close();
