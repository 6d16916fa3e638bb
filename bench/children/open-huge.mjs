/** Opens a volume by its id and reads random pages: open-huge.mjs STORE VOLUME READS; prints memory, requests and bytes as JSON. */
import { load, seededBelow } from "../lib/setup.mjs";

const [directory, id, reads] = process.argv.slice(2);
const { openStore } = await load("node");
const { MemoryRecorder } = await load("index");

/** Everything that the process holds for JavaScript: objects, and bytes outside of the heap. */
function held() {
  for (let i = 0; i < 4; i++) globalThis.gc();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { heapUsed, external, arrayBuffers, total: heapUsed + external };
}

const before = held();
const recorder = new MemoryRecorder();
const start = performance.now();
const store = await openStore(directory, { recorder });
const volume = await store.volume(id);
const snapshot = volume.snapshot();
const openMs = performance.now() - start;
const requestsToOpen = requests();
const below = seededBelow(17);
const readStart = performance.now();
for (let i = 0; i < Number(reads); i++) {
  const page = below(snapshot.pageCount);
  const bytes = await snapshot.read(page * volume.pageSize, volume.pageSize);
  if (new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) !== page + 1)
    throw new Error("other page");
}
const readMs = performance.now() - readStart;
const after = held();
console.log(
  JSON.stringify({
    pageCount: snapshot.pageCount,
    memoryBytesSetting: store.settings.memoryBytes,
    // `external` counts the bytes of array buffers, too.
    heapBytes: after.total - before.total,
    before,
    after,
    requestsToOpen,
    requests: requests(),
    bytes: recorder.get("remote.get.bytes"),
    openMs,
    readMs,
  }),
);
snapshot.close();
await store.close();

function requests() {
  return ["get", "put", "list", "delete"].reduce(
    (sum, kind) => sum + recorder.get(`remote.${kind}.count`),
    0,
  );
}
