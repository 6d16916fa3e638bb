/** The blocking bridge: this thread waits as SQLite's does, another thread moves the bytes. */
import { once } from "node:events";
import { type TransferListItem, Worker } from "node:worker_threads";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";
import { Bell } from "../../vfs/bridge/bell.ts";
import { SharedMemoryBridge, type SharedMemoryBridgeOptions } from "../../vfs/bridge/shared-memory.ts";
import { bundleWorker } from "./bundle.ts";

let script: URL;
const workers: Worker[] = [];

beforeAll(async () => {
  script = await bundleWorker("test/vfs/workers/mover.ts");
});
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
});

async function start(options: Partial<SharedMemoryBridgeOptions> & { readonly concurrency?: number } = {}) {
  const worker = new Worker(script, { stderr: true });
  workers.push(worker);
  const { port1, port2 } = new MessageChannel();
  const bell = new Bell();
  const counts = new SharedArrayBuffer(12);
  const setup = { port: port2, bell: bell.buffer, concurrency: options.concurrency ?? 4, counts };
  worker.postMessage(setup, [port2 as unknown as TransferListItem]);
  await once(worker, "message");
  const bridge = new SharedMemoryBridge({ port: port1, bell, timeoutMs: 20_000, ...options });
  return { worker, bell, bridge, counts: new Int32Array(counts) };
}

function* plan(requests: readonly RangeRequest[]): FetchPlan<RangeAnswers> {
  return yield requests;
}

const content = (offset: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => ((offset + i) * 31) % 251);
const never: RangeRequest = { key: "never", offset: 0, length: 10 };

describe("shared-memory bridge", () => {
  it("a large batch causes no warning of leaking listeners", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on("warning", onWarning);
    const { bridge, worker } = await start({ concurrency: 16 });
    let stderr = "";
    worker.stderr.on("data", (text: string) => {
      stderr += text;
    });
    bridge.run(plan(Array.from({ length: 100 }, (_, i) => ({ key: "object", offset: i, length: 10 }))));
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    expect(stderr).toBe("");
  });

  it("answers in the order of the requests: whole, short at the end, absent, empty", async () => {
    const { bridge } = await start();
    const answers = bridge.run(
      plan([
        { key: "object", offset: 5, length: 100 },
        { key: "object", offset: 999_990, length: 100 },
        { key: "absent", offset: 0, length: 7 },
        { key: "object", offset: 2_000_000, length: 7 },
        { key: "object", offset: 77, length: 1 },
      ]),
    );
    expect(answers).toEqual([
      content(5, 100),
      content(999_990, 10),
      undefined,
      new Uint8Array(0),
      content(77, 1),
    ]);
    for (const answer of answers) if (answer !== undefined) expect(answer.buffer).toBeInstanceOf(ArrayBuffer);
  });

  it("batches of any size, one after the other, through one buffer or a larger one", async () => {
    const { bridge } = await start();
    const kept: Uint8Array[] = [];
    for (const length of [10, 300_000, 1, 900_000, 4096, 70_000]) {
      const [answer] = bridge.run(plan([{ key: "object", offset: 3, length }]));
      kept.push(answer ?? new Uint8Array(0));
    }
    // What was handed out is not overwritten by the batches after it.
    for (const answer of kept) expect(Buffer.compare(answer, content(3, answer.length))).toBe(0);
  });

  it("several batches in one plan, and none at all", async () => {
    const { bridge } = await start();
    function* two(): FetchPlan<number> {
      const [first] = yield [{ key: "object", offset: 0, length: 1 }];
      const none = yield [];
      const [second] = yield [{ key: "object", offset: 1, length: 1 }];
      return (first?.[0] ?? 0) * 1000 + (second?.[0] ?? 0) + none.length;
    }
    expect(bridge.run(two())).toBe(31);
  });

  it("requests run in parallel, but not more than agreed", async () => {
    const { bridge, counts } = await start({ concurrency: 3 });
    const requests = Array.from({ length: 20 }, (_, i) => ({ key: "object", offset: i, length: 10 }));
    expect(bridge.run(plan(requests))).toEqual(requests.map(({ offset }) => content(offset, 10)));
    expect(Atomics.load(counts, 1)).toBe(3);
  });

  it("an error arrives as it was thrown, and the bridge goes on", async () => {
    const { bridge } = await start();
    const object = { key: "object", offset: 0, length: 4 };
    expect(() => bridge.run(plan([object, { ...object, key: "fails" }]))).toThrow(
      expect.objectContaining({
        name: "PagefoldError",
        code: "unauthorized",
        message: "who are you",
        retryable: false,
        details: { key: "fails" },
        cause: expect.objectContaining({ message: "401" }),
      }),
    );
    expect(() => bridge.run(plan([{ ...object, key: "long-error" }]))).toThrow(
      expect.objectContaining({
        code: "unavailable",
        retryable: true,
        message: expect.stringMatching(/^x{500}$/),
      }),
    );
    expect(() => bridge.run(plan([{ ...object, key: "bug" }]))).toThrow(
      expect.objectContaining({ name: "TypeError", message: "a bug of the store" }),
    );
    expect(bridge.run(plan([object]))).toEqual([content(0, 4)]);
  });

  it("a store that ignores ranges is found out, and overwrites nothing", async () => {
    const { bridge } = await start();
    expect(() => bridge.run(plan([{ key: "whole", offset: 0, length: 10 }]))).toThrow(
      expect.objectContaining({ code: "unavailable", retryable: false }),
    );
  });

  it("a plan may go on after a failed batch", async () => {
    const { bridge } = await start();
    function* patient(): FetchPlan<string> {
      try {
        yield [{ key: "fails", offset: 0, length: 1 }];
      } catch {
        const [answer] = yield [{ key: "object", offset: 9, length: 2 }];
        return `went on with ${answer?.length}`;
      }
      return "did not fail";
    }
    expect(bridge.run(patient())).toBe("went on with 2");
  });

  it("an interruption ends the wait with aborted, and the requests of the other side", async () => {
    let underWay = (): number => 0;
    const { bridge, bell, counts } = await start({ interrupted: () => underWay() === 2 });
    underWay = () => Atomics.load(counts, 0);
    // This thread sleeps, so another one rings.
    const ringer = new Worker(
      `const { workerData } = require("node:worker_threads");
       setInterval(() => { Atomics.add(workerData, 0, 1); Atomics.notify(workerData, 0); }, 50);`,
      { eval: true, workerData: new Int32Array(bell.buffer) },
    );
    workers.push(ringer);
    await once(ringer, "online");
    expect(() => bridge.run(plan([never, never]))).toThrow(expect.objectContaining({ code: "aborted" }));
    await expect.poll(() => Atomics.load(counts, 2)).toBe(2);
  });

  it("no answer within the time is unavailable; a late answer harms no later batch", async () => {
    const { bridge, counts } = await start({ timeoutMs: 1000 });
    expect(() => bridge.run(plan([never]))).toThrow(
      expect.objectContaining({ code: "unavailable", retryable: true }),
    );
    await expect.poll(() => Atomics.load(counts, 2)).toBe(1);
    expect(bridge.run(plan([{ key: "object", offset: 0, length: 4 }]))).toEqual([content(0, 4)]);
  });

  it("a mover that dies is unavailable", async () => {
    const { bridge } = await start({ timeoutMs: 300 });
    expect(() => bridge.run(plan([{ key: "dies", offset: 0, length: 4 }]))).toThrow(
      expect.objectContaining({ code: "unavailable" }),
    );
  });

  it("a mover that is closed wakes who waits", async () => {
    const { bridge, worker } = await start({ timeoutMs: 20_000 });
    // The message is on its way before this thread begins to wait.
    worker.postMessage("close");
    const before = performance.now();
    expect(() => bridge.run(plan([never]))).toThrow(expect.objectContaining({ code: "unavailable" }));
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});
