/** A page-table lookup after 10,000 remote commits against one after a single commit of as many pages. */
import { inBlocks } from "../lib/measure.mjs";
import { load, scale, seededBelow } from "../lib/setup.mjs";

const pageCount = 100_000;
const pageSize = 512;
const operations = 200_000;

export async function tableRows() {
  const { PageStore, MemoryObjectStore } = await load("index");
  const store = await PageStore.open({ remote: new MemoryObjectStore() });
  const commits = Math.max(2, Math.round(10_000 * Math.min(1, scale)));
  const base = new Uint8Array(pageCount * pageSize).fill(3);
  const few = await store.createVolume({ pageSize });
  await few.write(0, base);
  await few.push();
  const many = await store.createVolume({ pageSize });
  await many.write(0, base);
  await many.push();
  const below = seededBelow(3);
  const page = new Uint8Array(pageSize).fill(5);
  const stamp = new DataView(page.buffer);
  for (let i = 2; i <= commits; i++) {
    const transaction = await many.begin();
    // Pages that equal what is there make no commit.
    stamp.setUint32(0, i);
    for (let k = 0; k < 4; k++) transaction.writePage(1 + below(pageCount), page);
    transaction.commit();
    await many.push();
  }
  const after1 = few.snapshot();
  const afterMany = many.snapshot();
  if (after1.lsn !== 1 || afterMany.lsn !== commits) throw new Error("other commits than meant");
  const pages = Uint32Array.from({ length: operations }, () => 1 + below(pageCount));
  let sum = 0;
  const lookUp = (table) => () => {
    for (const each of pages) sum += table.lookup(each);
  };
  const measured = await inBlocks({
    pairs: 25,
    operations,
    ours: lookUp(afterMany.table),
    reference: lookUp(after1.table),
  });
  await store.close();
  return [
    {
      row: `page-table lookup after ${commits} commits`,
      against: "after 1 commit",
      unit: "µs",
      limit: 2,
      ...measured,
      sum,
    },
  ];
}
