/** The script of every test page: takes calls from the test's process and runs them here, or in a module worker of this page. */
import { type Call, type Outcome, perform, toWire } from "./runner.ts";

export interface PageHarness {
  call(call: Call, where: "page" | "worker"): Promise<Outcome>;
}

interface Waiting {
  resolve(outcome: Outcome): void;
}

let worker: Worker | undefined;
const waiting = new Map<number, Waiting>();
let calls = 0;

function startWorker(): Worker {
  const started = new Worker(new URL("./harness-worker.js", import.meta.url), { type: "module" });
  started.addEventListener("message", ({ data }: MessageEvent<{ id: number; outcome: Outcome }>) => {
    waiting.get(data.id)?.resolve(data.outcome);
    waiting.delete(data.id);
  });
  // A script that cannot be loaded, or an error outside any call: whoever waits would wait for ever.
  started.addEventListener("error", (event) => {
    const error = toWire(
      event.error ?? `the worker failed: ${event.message || "its script cannot be loaded"}`,
    );
    for (const { resolve } of waiting.values()) resolve({ kind: "error", error });
    waiting.clear();
  });
  return started;
}

function inWorker(call: Call): Promise<Outcome> {
  worker ??= startWorker();
  const id = ++calls;
  return new Promise((resolve) => {
    waiting.set(id, { resolve });
    worker?.postMessage({ id, call });
  });
}

const harness: PageHarness = { call: (call, where) => (where === "worker" ? inWorker(call) : perform(call)) };
Object.assign(globalThis, { pagefoldHarness: harness });
