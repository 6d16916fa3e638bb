/** The server: frames from its warm cache against a bare handler, a commit's way to another client, and ten thousand idle subscribers. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { inPairs, median } from "../lib/measure.mjs";
import { startServer } from "../lib/server.mjs";
import { children, dataDirectory, load, pairs, scratch } from "../lib/setup.mjs";

const frameBytes = 65_536;
const connections = 50;
const seconds = 4;

function autocannonOf() {
  try {
    return createRequire(join(dataDirectory, "peers", "package.json"))("autocannon");
  } catch {
    return undefined;
  }
}

export async function serveRows() {
  const row = {
    row: "64 KiB frames from the warm cache",
    against: "bare node:http handler of the same bytes",
    unit: "req/s",
    limit: 0.6,
    atLeast: true,
  };
  const autocannon = autocannonOf();
  if (autocannon === undefined)
    return [{ ...row, skipped: "no autocannon: `npm run bench:setup` installs it" }];
  const folder = scratch();
  const path = await asciiSegment(folder);
  const server = await startServer(folder);
  const bare = await startChild("bare-http.mjs", [String(frameBytes)]);
  const fire = async (url, headers) => {
    const { requests, non2xx, errors, throughput } = await autocannon({
      url,
      headers,
      connections,
      duration: seconds,
    });
    if (non2xx + errors > 0) throw new Error(`${url}: ${non2xx} refused, ${errors} failed`);
    if (throughput.average < requests.average * frameBytes * 0.9) throw new Error("bodies are missing");
    return requests.average;
  };
  try {
    const measured = await inPairs({
      pairs: Math.min(pairs, 3),
      warmUp: 1,
      ours: () => fire(`${server.url}/${path}`, { range: `bytes=${frameBytes}-${2 * frameBytes - 1}` }),
      reference: () => fire(bare.url, { range: `bytes=${frameBytes}-${2 * frameBytes - 1}` }),
    });
    return [{ ...row, ...measured }];
  } finally {
    server.stop();
    bare.stop();
  }
}

/** The load generator reads bodies as text, which costs more than serving them where they are none. */
async function asciiSegment(folder) {
  const { openStore } = await load("node");
  const store = await openStore(folder, { create: true, workers: 0 });
  const volume = await store.createVolume({ tag: "frames" });
  await volume.write(0, new Uint8Array(4096).fill(1));
  await volume.push();
  await store.close();
  const directory = `volumes/${volume.id}/segments`;
  const name = `fffffffffffffffe-${volume.id}`;
  mkdirSync(join(folder, directory), { recursive: true });
  writeFileSync(join(folder, directory, name), "x".repeat(1 << 20));
  return `${directory}/${name}`;
}

function startChild(script, args) {
  const child = spawn(process.execPath, [join(children, script), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  return new Promise((done, failed) => {
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      if (said.includes("\n")) done({ ...JSON.parse(said.split("\n")[0]), child, stop: () => child.kill() });
    });
    child.on("exit", (code) => failed(new Error(`${script} ended with ${code}`)));
  });
}

export async function liveRows() {
  const { openStore } = await load("node");
  const server = await startServer("memory:");
  const echo = await startChild("bare-http.mjs", ["0"]);
  const open = () => openStore(server.url);
  const [writing, reading] = [await open(), await open()];
  try {
    const writer = await writing.createVolume({ tag: "live" });
    await writer.write(0, new Uint8Array(4096).fill(1));
    await writer.push();
    const reader = await reading.volume("live");
    const controller = new AbortController();
    const moves = reader.follow({ signal: controller.signal });
    const bare = await subscribe(`${echo.url}events`);
    // Until the subscription stands.
    let pending = moves.next();
    for (let i = 0; i < 20; i++) pending = (await commitAndSee(writer, pending, moves, i)).next;
    const rounds = 200;
    const measured = await inPairs({
      pairs: Math.max(pairs, 5),
      warmUp: 1,
      ours: async () => {
        const times = [];
        for (let i = 0; i < rounds; i++) {
          const seen = await commitAndSee(writer, pending, moves, i);
          pending = seen.next;
          times.push(seen.ms);
        }
        return median(times);
      },
      reference: async () => {
        const times = [];
        for (let i = 0; i < rounds; i++) times.push(await bare.echo(`${echo.url}say`, 6000));
        return median(times);
      },
    });
    controller.abort();
    bare.close();
    return [
      {
        row: "a commit of one page, seen by another client",
        against: "bare POST echoed as a server-sent event",
        unit: "ms",
        limit: 3,
        ...measured,
      },
    ];
  } finally {
    await writing.close();
    await reading.close();
    server.stop();
    echo.stop();
  }
}

async function commitAndSee(writer, pending, moves, i) {
  await writer.write(0, new Uint8Array(4096).fill(i));
  const start = performance.now();
  await writer.push();
  const { value } = await pending;
  const ms = performance.now() - start;
  if (value.to !== writer.status().lsn) throw new Error(`saw ${value.to} of ${writer.status().lsn}`);
  return { ms, next: moves.next() };
}

/** A bare subscriber: what is posted comes back on the stream. */
function subscribe(url) {
  const agent = new http.Agent({ keepAlive: true });
  let heard = () => {};
  return new Promise((done, failed) => {
    const request = http.get(url, { agent }, (response) => {
      let said = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        said += chunk;
        for (let end = said.indexOf("\n\n"); end !== -1; end = said.indexOf("\n\n")) {
          said = said.slice(end + 2);
          heard();
        }
      });
      done({
        echo: (target, bytes) =>
          new Promise((resolve, reject) => {
            const start = performance.now();
            heard = () => resolve(performance.now() - start);
            const post = http.request(target, { method: "POST", agent }, (answer) => answer.resume());
            post.on("error", reject);
            post.end(Buffer.alloc(bytes, 97));
          }),
        close: () => {
          request.destroy();
          agent.destroy();
        },
      });
    });
    request.on("error", failed);
  });
}

export async function idleRows() {
  const volumes = 10_000;
  const server = await startServer("memory:");
  const subscribers = await startChild("idle-subscribers.mjs", [server.url, String(volumes)]);
  try {
    if (subscribers.connected !== volumes)
      throw new Error(`${subscribers.connected} of ${volumes} subscribed`);
    const requests = () => storeRequests(server.url);
    const before = await requests();
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    const perMinute = (await requests()) - before;
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) / 1024;
    const row = { row: `${volumes} idle volumes with a subscriber each`, absolute: true, against: "" };
    return [
      { ...row, unit: "MB", ours: rss, limit: 400 },
      { ...row, row: `${row.row}: store requests per minute`, unit: "", ours: perMinute, limit: 0 },
    ];
  } finally {
    subscribers.stop();
    server.stop();
  }
}

async function storeRequests(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => /^pagefold_store_requests_total/.test(line));
  if (lines.length === 0) throw new Error("the server tells no requests of its store");
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
