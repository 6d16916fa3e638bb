/**
 * A log of a million commits: how long it takes to make one, what it costs to open it at any length, to catch up with it from anywhere, and to look
 * at it as it was long ago. Everything over a store in memory; requests and round trips do not depend on the store.
 */
import { performance } from "node:perf_hooks";
import { inPairs } from "../lib/measure.mjs";
import { load, pairs, scale } from "../lib/setup.mjs";
import { loadSource } from "../lib/sources.mjs";

/** 1 GB of pages of 4096 bytes. The pages themselves are small ones, alike within a commit: what is counted does not depend on them. */
const pageCount = 262_144;
const pageSize = 512;
const pagesPerCommit = 4;
const million = Math.round(1_000_000 * Math.min(1, scale));
/** From somewhere behind its beginning, so that the way down begins and ends at any LSN. */
const head = Math.round(1.05 * million);
/** What is opened: at these LSNs, and at those below them from which the way down is the longest. */
const opened = [
  [1, 6],
  [Math.round(million / 1000), 14],
  [Math.round(million / 10), 20],
  [million, 24],
].map(([lsn, limit]) => ({ lsn, worst: worstLsn(lsn), limit }));
const caughtUp = [
  [1, 3],
  [100, 12],
  [Math.round(million / 100), 21],
  [million, 29],
].map(([count, limit]) => ({ count, limit }));
const back = million - Math.round(million / 10);
/** How often pushers write a checkpoint. */
const checkpointEvery = 1024;

const absolute = { against: "", absolute: true };
const row = (what, unit, ours, limit, facts) => ({ ...absolute, row: what, unit, ours, limit, facts });
const text = (n) => n.toLocaleString("en-US");

export async function logRows() {
  const engine = await load("index");
  const tools = await loadSource("bench/data/history-tools.ts");
  const objects = new engine.MemoryObjectStore();
  // The engine's own: the WebAssembly of zstd must not be loaded twice.
  const codecs = await engine.loadCodecs();
  const start = performance.now();
  const cpuBefore = process.cpuUsage();
  for (const way of caughtUp) Object.assign(way, worstWay(tools.pathDown, way.count));
  const options = { pageCount, pageSize, pagesPerCommit, checkpointAt: checkpointsFor() };
  const log = await tools.LongLog.create({ store: objects, codecs, ...options });
  await log.grow(million);
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  await log.grow(head - million);
  const bench = new LogBench(engine, tools, objects, log);
  await bench.warmUp();
  return [
    row(`a log of ${text(million)} commits made`, "s", seconds, 120, {
      ...log.stored,
      rss: process.memoryUsage().rss,
    }),
    row("… processor time", "s", (user + system) / 1e6),
    ...(await openRows(bench)),
    ...(await catchUpRows(bench)),
    ...(await bytesRows(engine, tools, bench)),
    ...(await pastRows(bench)),
  ];
}

/** A thousand checkpoints of so many pages would fill the memory, and all but the newest below what is opened are passed over: only those are written. */
function checkpointsFor() {
  const lsns = [
    ...opened.flatMap(({ lsn, worst }) => [lsn, worst]),
    ...caughtUp.flatMap(({ from, to }) => [from, to]),
  ];
  const wanted = new Set([...lsns, head, back].map((lsn) => lsn - (lsn % checkpointEvery)));
  return (lsn) => wanted.has(lsn);
}

class LogBench {
  constructor(engine, tools, objects, { volume, manifest: { createdAt } }) {
    this.engine = engine;
    this.tools = tools;
    this.volume = volume;
    this.prefix = new tools.LogPrefix(objects, volume, 1);
    this.counted = new tools.CountedStore(this.prefix.store);
    // The time is that of the newest commit there is: whoever catches up by many was away for as long.
    this.runtime = {
      now: () => createdAt + 1000 * this.prefix.head,
      monotonic: () => performance.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      randomBytes: (bytes) => crypto.getRandomValues(bytes),
      random: Math.random,
    };
  }

  /** The volume at an LSN, in a store of its own, opened for the first time. */
  async open(lsn) {
    this.prefix.head = lsn;
    const store = await this.engine.PageStore.open({ remote: this.counted.store, runtime: this.runtime });
    const cost = await this.counted.cost(() => store.volume(this.volume));
    if (cost.value.status().lsn !== lsn)
      throw new Error(`opened at LSN ${cost.value.status().lsn}, not ${lsn}`);
    return { store, volume: cost.value, cost };
  }

  async catchUp(from, to) {
    const { store, volume } = await this.open(from);
    this.prefix.head = to;
    const cost = await this.counted.cost(() => volume.pull());
    if (cost.value.to !== to) throw new Error(`moved to LSN ${cost.value.to}, not ${to}`);
    return { store, volume, cost };
  }

  /** So that modules that are loaded by need do not count as time between requests. */
  async warmUp() {
    const { store, volume } = await this.catchUp(1, 2);
    (await volume.at(1)).close();
    await store.close();
  }
}

async function openRows(bench) {
  const rows = [];
  for (const { lsn, worst, limit } of opened) {
    for (const at of new Set([lsn, worst])) {
      const { store, cost } = await bench.open(at);
      await store.close();
      const which = at === lsn ? "" : `, the worst below ${text(lsn)}`;
      rows.push(row(`requests to open at LSN ${text(at)}${which}`, "", cost.requests, limit, kinds(cost)));
      rows.push(row("… round trips", "", cost.roundTrips, 3));
    }
  }
  return rows;
}

async function catchUpRows(bench) {
  const rows = [];
  for (const { count, limit, from, to } of caughtUp) {
    const { store, cost } = await bench.catchUp(from, to);
    await store.close();
    const which = `, the worst: from ${text(from)} to ${text(to)}`;
    rows.push(row(`requests to catch up by ${text(count)}${which}`, "", cost.requests, limit, kinds(cost)));
    rows.push(row("… round trips", "", cost.roundTrips, 2));
  }
  return rows;
}

/** Against the changes written down as one rollup: the page sets, each with its commit's LSN and hash. */
async function bytesRows(engine, tools, bench) {
  // Frames of real pages beside the bands: what is read of them in passing counts.
  const objects = new engine.MemoryObjectStore();
  const options = { pageCount, pagesPerCommit, pageSize: 4096, contents: tools.mixedPages(4096) };
  const log = await tools.LongLog.create({ store: objects, codecs: await engine.loadCodecs(), ...options });
  const tenThousand = Math.round(million / 100);
  const from = Math.round(tenThousand / 10);
  await log.grow(from + tenThousand);
  const real = new LogBench(engine, tools, objects, log);
  const rows = [
    // A header alone is more than twice as large.
    { ...(await bytesRow(real, from, 1)), limit: undefined },
    await bytesRow(real, from, 100),
    await bytesRow(real, from, tenThousand),
  ];
  return [...rows, await bytesRow(bench, head - million - 1, million)];
}

async function bytesRow(bench, from, count) {
  const { store, volume, cost } = await bench.catchUp(from, from + count);
  const snapshot = volume.snapshot();
  const reference = mergedBytes(bench.tools, snapshot, from);
  snapshot.close();
  await store.close();
  return {
    row: `bytes to catch up by ${text(count)}`,
    against: "the merged page set with LSNs and hashes",
    unit: "kB",
    limit: 2,
    ours: cost.bytesGot / 1000,
    reference: reference / 1000,
    ratio: cost.bytesGot / reference,
    facts: kinds(cost),
  };
}

/** By someone who has the newest; against opening that by someone who has nothing. */
async function pastRows(bench) {
  bench.counted.inRounds = false;
  let cost;
  const timed = async (work) => {
    const start = performance.now();
    const result = await work();
    return { ms: performance.now() - start, result };
  };
  const ours = async () => {
    const { store, volume } = await bench.open(million);
    const { ms } = await timed(async () => {
      cost = await bench.counted.cost(async () => (await volume.at(back)).close());
    });
    await store.close();
    return ms;
  };
  const reference = async () => {
    const { ms, result } = await timed(async () => {
      const { store, volume } = await bench.open(million);
      volume.snapshot().close();
      return store;
    });
    await result.close();
    return ms;
  };
  const measured = await inPairs({ pairs, warmUp: 1, ours, reference });
  bench.counted.inRounds = true;
  return [
    {
      row: `a snapshot ${text(million - back)} commits back`,
      against: "opening the newest",
      unit: "ms",
      limit: 2,
      ...measured,
      facts: kinds(cost),
    },
  ];
}

const kinds = ({ get, list, put, delete: deletes, requests, roundTrips, bytesGot }) => ({
  ...{ get, list, put, delete: deletes, requests, roundTrips, bytesGot },
});

/** The LSN up to `most` with the most ones: the way down from it is the longest. */
function worstLsn(most) {
  let worst = 1;
  let ones = 1;
  for (let lsn = most; lsn > 0 && lsn > most - 100_000; lsn--) {
    const count = lsn.toString(2).replaceAll("0", "").length;
    if (count > ones) [worst, ones] = [lsn, count];
  }
  return worst;
}

/** Of all ways over so many commits, or of many, the longest. */
function worstWay(pathDown, count) {
  let worst = { from: 1, to: 1 + count, steps: 0 };
  for (let to = head; to > count && to > head - 100_000; to--) {
    const steps = pathDown(to, to - count).length;
    if (steps > worst.steps) worst = { from: to - count, to, steps };
  }
  return worst;
}

function mergedBytes({ encodeRollup }, snapshot, from) {
  const hash = "0".repeat(64);
  const writers = [...snapshot.table.byValue(snapshot.pageCount)]
    .filter(([lsn]) => lsn > from)
    .sort(([a], [b]) => b - a)
    .map(([lsn, pages]) => ({ lsn, hash, pages }));
  return encodeRollup({ from, to: snapshot.lsn, lowestPageCount: snapshot.pageCount, writers }).length;
}
