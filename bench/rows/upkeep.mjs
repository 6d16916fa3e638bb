/**
 * What it costs to keep a busy volume in order: 100,000 commits of 1 to 100 random pages of 1 GB, with checkpoints as pushers write them, collected every
 * thousand commits, which compacts what passes below the floor. What rollups, checkpoints, compactions and collections put besides the commits
 * themselves; and what the store holds in the end against what is live in it.
 */
import { load, scale } from "../lib/setup.mjs";
import { loadSource } from "../lib/sources.mjs";

const pageSize = 4096;
const pageCount = 262_144;
/** Pages compress to an eighth, so that gigabytes of them fit into memory. What is added per page weighs four times as much as with pages that compress to half. */
const share = 1 / 8;
const commits = Math.round(100_000 * scale);
const every = 1000;
const checkpointEvery = 1024;
const minuteMs = 60_000;
/** A commit a minute: a day of all commits, a week of days. */
const retention = { all: "24h", daily: "7d" };

export async function upkeepRows() {
  const engine = await load("index");
  const tools = await loadSource("bench/data/history-tools.ts");
  const objects = new engine.MemoryObjectStore();
  const log = await tools.LongLog.create({
    ...{ store: objects, codecs: await engine.loadCodecs(), pageSize, pageCount },
    contents: tools.mixedPages(pageSize, share),
    pagesPerCommit: [1, 100],
    stepMs: minuteMs,
    checkpointAt: (lsn) => lsn % checkpointEvery === 0,
  });
  const counted = new tools.CountedStore(objects);
  counted.inRounds = false;
  await log.grow(1);
  const client = await engine.PageStore.open({ remote: counted.store, runtime: runtimeOf(() => log.time) });
  const volume = await client.volume(log.volume);
  await volume.setRetention(retention);
  const { requests: _, ...upkeep } = await counted.cost(async () => {
    while (log.lsn < commits) {
      await log.grow(Math.min(every, commits - log.lsn));
      await volume.pull();
      await volume.collect();
    }
  });
  const { commitBytes, bandBytes, rollups, rollupBytes, checkpoints, checkpointBytes } = log.stored;
  const own = commitBytes - (bandBytes - rollupBytes);
  const put = commitBytes + rollupBytes + checkpointBytes + upkeep.bytesPut;
  const facts = { ...log.stored, upkeep };
  const what = `${commits.toLocaleString("en-US")} commits of 1–100 of ${pageCount.toLocaleString("en-US")} pages`;
  const row = { against: "", absolute: true, facts };
  const rows = [
    {
      ...row,
      row: `extra PUTs per commit, ${what}`,
      unit: "",
      ours: (rollups + checkpoints + upkeep.put) / commits,
      limit: 0.2,
    },
    {
      ...{ row: "write amplification", against: "the commits without bands", unit: "MB", limit: 4, facts },
      ...{ ours: put / 1e6, reference: own / 1e6, ratio: put / own },
    },
    await spaceRow(objects, log, volume),
  ];
  await client.close();
  return rows;
}

/** With another collection for which the grace period of the last floors is over. */
async function spaceRow(objects, log, volume) {
  const { kept, floor } = await volume.collect({ graceMs: 0 });
  const stored = await storedBytes(objects, `volumes/${log.volume}/`);
  const lsns = kept.map(({ lsn }) => lsn);
  const versions = await liveVersions(volume, { lsns, floor: floor.after });
  const live = versions * (log.stored.areaBytes / log.stored.pages);
  return {
    ...{
      row: "space after retention and collection",
      against: "live page versions, as their commits stored them",
    },
    ...{
      unit: "MB",
      limit: 1.3,
      ours: stored.total / 1e6,
      reference: live / 1e6,
      ratio: stored.total / live,
    },
    facts: { ...stored, versions, kept: lsns, floor: floor.after, head: log.lsn },
  };
}

async function storedBytes(store, prefix) {
  const sums = { total: 0, objects: 0 };
  for (let startAfter = ""; ; ) {
    const page = await store.list(prefix, { startAfter });
    for (const { key, size } of page) {
      const kind = key.slice(prefix.length).split("/")[0];
      sums[kind] = (sums[kind] ?? 0) + size;
      sums.total += size;
      sums.objects++;
    }
    if (page.length < 1000) return sums;
    startAfter = page.at(-1).key;
  }
}

/** Versions of pages, (page, writer), that a state up to the floor shows, and all that commits above it wrote. */
async function liveVersions(volume, { floor, lsns }) {
  const newest = new Uint32Array(pageCount + 1);
  let versions = 0;
  // Of rising states, a page that shows another writer than before shows a new version.
  for (const lsn of lsns) {
    const snapshot = await volume.at(lsn);
    for (const [writer, pages] of snapshot.table.byValue(pageCount)) {
      for (const page of pages) {
        if (newest[page] === writer) continue;
        newest[page] = writer;
        versions++;
      }
    }
    snapshot.close();
  }
  for await (const entry of volume.log()) {
    if (entry.lsn <= floor) break;
    versions += entry.pages;
  }
  return versions;
}

function runtimeOf(now) {
  return {
    now,
    monotonic: () => performance.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    randomBytes: (bytes) => crypto.getRandomValues(bytes),
    random: Math.random,
  };
}
