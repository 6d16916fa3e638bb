/**
 * One fault (a page that is not resident, its read index known) over the file-system store and over loopback HTTP, against the bare request for
 * the same frame, its hash and its decompression.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, read } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { databaseOfSize } from "../data/generate.mjs";
import { getRange, httpStore } from "../lib/http-store.mjs";
import { inPairs } from "../lib/measure.mjs";
import { children, load, remove, scratch, seededBelow } from "../lib/setup.mjs";

const pairs = 400;
const warmUp = 60;
const pageSize = 4096;
const pagesPerFrame = 16;

export async function faultRows() {
  const { openStore, importFile, openObjectStore } = await load("node");
  const space = scratch();
  const directory = join(space, "store");
  const first = await openStore(directory, { create: true });
  const imported = await importFile(first, await databaseOfSize(100), { tag: "bench" });
  await first.close();

  const frames = Math.floor(imported.pageCount / pagesPerFrame);
  const below = seededBelow(5);
  const order = Array.from({ length: frames }, (_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    const k = below(i + 1);
    [order[i], order[k]] = [order[k], order[i]];
  }
  const faults = order.slice(0, pairs + warmUp).map((frame) => frame * pagesPerFrame + below(pagesPerFrame));
  const facts = { volume: imported.volume, faults, rest: order.slice(pairs + warmUp) };
  const ranges = await framesOf(openStore, await openObjectStore(directory), facts);

  const fsRow = await faultRow(
    openStore,
    () => openObjectStore(directory),
    facts,
    ranges,
    fsRequests(directory),
  );
  const server = await startServer(directory);
  const agent = new http.Agent({ keepAlive: true });
  const overHttp = () => httpStore(agent, server.url);
  const bare = {
    get: ({ key, offset, length }) => getRange(agent, server.url, key, offset, length),
    close() {},
  };
  const httpRow = await faultRow(openStore, overHttp, facts, ranges, bare);
  agent.destroy();
  server.stop();
  remove(space);
  const row = { unit: "µs", limit: 1.3 };
  return [
    { row: "one fault, fs store", against: "read + hash + decode of the frame", ...row, ...fsRow },
    { row: "one fault, loopback HTTP", against: "http.get + hash + decode of the frame", ...row, ...httpRow },
  ];
}

/** Which range each fault fetches, seen through a store that notes what it is asked for. */
async function framesOf(openStore, inner, facts) {
  const seen = [];
  const noting = {
    url: inner.url,
    capabilities: inner.capabilities,
    get(key, options = {}) {
      seen.push({ key, ...options.range });
      return inner.get(key, options);
    },
    put: inner.put.bind(inner),
    list: inner.list.bind(inner),
    delete: inner.delete.bind(inner),
    close: () => inner.close(),
  };
  const { snapshot, close } = await openForFaults(openStore, noting, facts);
  const ranges = [];
  for (const page of facts.faults) {
    seen.length = 0;
    await snapshot.read(page * pageSize, pageSize);
    if (seen.length !== 1) throw new Error(`a fault took ${seen.length} requests`);
    ranges.push(seen[0]);
  }
  await close();
  return ranges;
}

/** A cold cache, but every read index known. */
async function openForFaults(openStore, remote, { volume, rest }) {
  const store = await openStore(remote, {
    workers: 0,
    settings: { memoryBytes: 32 * 2 ** 20, readAhead: undefined },
  });
  const snapshot = (await store.volume(volume)).snapshot();
  for (const frame of rest) await snapshot.read(frame * pagesPerFrame * pageSize, pageSize);
  return {
    snapshot,
    async close() {
      snapshot.close();
      await store.close();
    },
  };
}

async function faultRow(openStore, openRemote, facts, ranges, bare) {
  const { loadCodecs } = await load("index");
  const codecs = await loadCodecs();
  const { snapshot, close } = await openForFaults(openStore, await openRemote(), facts);
  const expected = new Map();
  const measured = await inPairs({
    pairs,
    warmUp,
    ours: async (i) => {
      const start = performance.now();
      const bytes = await snapshot.read(facts.faults[i] * pageSize, pageSize);
      expected.set(i, bytes[100]);
      return (performance.now() - start) * 1000;
    },
    reference: async (i) => {
      const start = performance.now();
      const stored = await bare.get(ranges[i]);
      codecs.hash.frameHash(stored);
      const raw = codecs.decompress("zstd", stored, pagesPerFrame * pageSize);
      const us = (performance.now() - start) * 1000;
      const inFrame = (facts.faults[i] % pagesPerFrame) * pageSize;
      if (expected.has(i) && expected.get(i) !== raw[inFrame + 100]) throw new Error("other bytes");
      return us;
    },
  });
  await close();
  bare.close();
  return measured;
}

/** The bare request of the file-system store: one asynchronous read of an open file. */
function fsRequests(directory) {
  const open = new Map();
  const fdOf = (key) => {
    if (!open.has(key)) open.set(key, openSync(join(directory, key), "r"));
    return open.get(key);
  };
  return {
    get: ({ key, offset, length }) =>
      new Promise((done, failed) => {
        const bytes = new Uint8Array(length);
        read(fdOf(key), bytes, 0, length, offset, (error) => (error === null ? done(bytes) : failed(error)));
      }),
    close() {
      for (const fd of open.values()) closeSync(fd);
    },
  };
}

async function startServer(directory) {
  const child = spawn(process.execPath, [join(children, "range-server.mjs"), directory], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const port = await new Promise((done, failed) => {
    child.stdout.once("data", (chunk) => done(Number(chunk)));
    child.once("exit", () => failed(new Error(`no server for ${pathToFileURL(directory)}`)));
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => child.stdin.end() };
}
