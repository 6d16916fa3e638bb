/**
 * Makes a volume of which every page was written: make-huge.mjs STORE GIGABYTES; prints its id. The pages are all different and compress to
 * about half, like those of a database.
 */
import { load } from "../lib/setup.mjs";

const [directory, gigabytes] = process.argv.slice(2);
const pageSize = 4096;
const pageCount = Math.round((Number(gigabytes) * 2 ** 30) / pageSize);
const { openStore } = await load("node");

/** Words that pages are made of: real enough for a compressor. */
const pool = new Uint8Array(2 ** 20);
let state = 1;
for (let i = 0; i < pool.length; i++) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  pool[i] = 97 + ((state >>> 16) % 26);
}

/** Half of a page is a stretch of the pool at a place of its own, half repeats; the first bytes say which page it is. */
function fillPage(page, into) {
  const start = Math.imul(page, 2_654_435_761) >>> 0;
  const from = start % (pool.length - pageSize);
  into.set(pool.subarray(from, from + pageSize / 2));
  into.fill(32 + (start % 64), pageSize / 2);
  new DataView(into.buffer, into.byteOffset).setUint32(0, page + 1, true);
}

const source = {
  name: "generated pages",
  size: pageCount * pageSize,
  async read(offset, into) {
    for (let at = 0; at < into.length; at += pageSize)
      fillPage((offset + at) / pageSize, into.subarray(at, at + pageSize));
    return into.length;
  },
  async check() {},
};

const store = await openStore(directory, { create: true });
const volume = await store.createVolume({ pageSize });
await volume.import(source, {
  onProgress: (done, total) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${Math.floor((100 * done) / total)} %`);
  },
});
await store.close();
console.log(volume.id);
