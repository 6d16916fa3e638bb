/** Forks: what one of 20 GB costs. And whether states that share pages with one that is resident are resident, too: a fork, a restore, a compacted volume. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { load, scale } from "../lib/setup.mjs";
import { loadSource } from "../lib/sources.mjs";

const pageSize = 4096;
const rowsOfTable = 50_000;

export async function forkRows() {
  return [...(await hugeForkRows()), ...(await residentRows())];
}

/** No page of it is ever read, so that none has to be stored: a manifest, and a commit that names segments of all its pages. */
async function hugeForkRows() {
  const { PageStore, MemoryObjectStore, loadCodecs } = await load("index");
  const { CountedStore, unreadVolume } = await loadSource("bench/data/history-tools.ts");
  const objects = new MemoryObjectStore();
  const pageCount = Math.round((20 * scale * 2 ** 30) / pageSize);
  const volume = await unreadVolume(objects, await loadCodecs(), { pageCount, pageSize });
  const counted = new CountedStore(objects);
  const store = await PageStore.open({ remote: counted.store });
  await store.volume(volume);
  // What every writer does once per store, before its first write.
  await store.probeWritable();
  counted.keys = [];
  const { value: fork, ...cost } = await counted.cost(() => store.fork(volume));
  const facts = { ...cost, keys: counted.keys };
  if (fork.status().pageCount !== pageCount) throw new Error("a fork without its pages");
  await store.close();
  const row = { against: "", absolute: true, facts };
  const what = `fork of ${((pageCount * pageSize) / 2 ** 30).toFixed(0)} GB`;
  const pages = counted.keys.filter((key) => key.includes("/segments/")).length;
  return [
    { ...row, row: `requests, ${what}`, unit: "", ours: cost.requests, limit: 3 },
    { ...row, row: `… round trips`, unit: "", ours: cost.roundTrips },
    { ...row, row: "… requests for pages", unit: "", ours: pages, limit: 0 },
  ];
}

async function residentRows() {
  const { PageStore, MemoryObjectStore } = await load("index");
  const { installPagefoldVfs, ResidentOnlyBridge } = await load("vfs");
  const sqlite3 = await sqlite3InitModule();
  const objects = new MemoryObjectStore();
  const settings = { memoryBytes: 512 * 2 ** 20, durability: "relaxed" };
  const store = await PageStore.open({ remote: objects, settings });
  const vfs = installPagefoldVfs(sqlite3, store, { name: "pagefold-fork", bridge: new ResidentOnlyBridge() });
  const open = (tag) => new sqlite3.oo1.DB(`file:/${tag}?vfs=pagefold-fork`, "w");
  const volume = await store.createVolume({ tag: "base" });
  const db = open("base");
  db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, a INT, s TEXT); CREATE INDEX ta ON t(a); BEGIN");
  const insert = db.prepare("INSERT INTO t VALUES(?, ?, ?)");
  for (let i = 0; i < rowsOfTable; i++) {
    insert.bind([i, (i * 7919) % rowsOfTable, `row ${i} `.repeat(20)]).stepReset();
  }
  insert.finalize();
  db.exec("COMMIT");
  await volume.push();
  const before = volume.status().lsn;
  const expected = answers(db);
  const rows = [];
  const check = async (what, tag, checked, wanted) => {
    const requests = await faultsOf(checked, () => {
      const other = tag === undefined ? db : open(tag);
      const found = answers(other);
      if (tag !== undefined) other.close();
      return found;
    });
    if (requests.answers !== undefined && requests.answers !== wanted)
      throw new Error(`${what} has other rows`);
    rows.push({
      ...{ row: `faults of the first queries on ${what}`, against: "", absolute: true },
      ...{ unit: "", ours: requests.faults, limit: 0 },
    });
  };
  await check("a fork", "fork", await store.fork("base", { tag: "fork" }), expected);
  // A bit of everything changes, and goes back.
  db.exec("UPDATE t SET a = a + 1 WHERE i % 7 = 3; DELETE FROM t WHERE i % 11 = 5");
  await volume.push();
  const changed = answers(db);
  if (changed === expected) throw new Error("nothing changed");
  await check("what was pushed", undefined, volume, changed);
  await volume.restore({ at: before });
  await check("a restored state", undefined, volume, expected);
  // By somebody else, who has none of it resident.
  const other = await PageStore.open({ remote: objects, settings });
  const cold = await other.volume("base");
  await proveThatFaultsAreSeen(sqlite3, installPagefoldVfs, ResidentOnlyBridge, other, cold);
  await cold.compact({ all: true });
  await other.close();
  await volume.pull();
  await check("a compacted state", undefined, volume, expected);
  db.close();
  vfs.dispose();
  await store.close();
  return rows;
}

/** Where nothing is resident the same queries must count some. */
async function proveThatFaultsAreSeen(sqlite3, installPagefoldVfs, ResidentOnlyBridge, store, volume) {
  const vfs = installPagefoldVfs(sqlite3, store, { name: "pagefold-cold", bridge: new ResidentOnlyBridge() });
  const { faults } = await faultsOf(volume, () => {
    const db = new sqlite3.oo1.DB("file:/base?vfs=pagefold-cold", "w");
    try {
      return answers(db);
    } finally {
      db.close();
    }
  });
  vfs.dispose();
  if (faults === 0) throw new Error("a volume without resident pages was read without a fault");
}

/** Faults, and refused reads: the bridge reads what is resident and nothing else. */
async function faultsOf(volume, query) {
  let faults = 0;
  const stop = volume.on("fault", () => faults++);
  try {
    return { answers: query(), faults };
  } catch {
    return { answers: undefined, faults: Math.max(1, faults) };
  } finally {
    stop();
  }
}

/** A scan, an index range, points. */
function answers(db) {
  return JSON.stringify([
    db.selectValue("SELECT sum(i) + sum(a) + sum(length(s)) FROM t"),
    db.selectValues("SELECT i FROM t WHERE a BETWEEN 1000 AND 1100 ORDER BY a"),
    [7, 5, 40_003, 49_999].map((i) => db.selectValue("SELECT s FROM t WHERE i = ?", [i])),
  ]);
}
