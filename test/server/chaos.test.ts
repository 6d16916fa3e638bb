/**
 * Client and server over a network that lies: every read is right or an error with a code (invariant 7), every acknowledged push is in the log exactly
 * once (invariants 3 and 5), and when the network is well again everything goes on.
 */
import { afterEach, describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { openHttpStore } from "../../src/remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { onDemand } from "../more.ts";
import { codecs, testSeed } from "../store/support.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { type ServedHere, serveHere } from "./serve-here.ts";

const PAGES = 40;
const ROUNDS = 60;

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

function keep<T extends { close(): Promise<void> }>(thing: T): T {
  open.push(thing);
  return thing;
}

async function client(url: string): Promise<PageStore> {
  const remote = await openHttpStore(url, { kind: "server" });
  return keep(await PageStore.open({ remote, codecs, settings: { memoryBytes: 64 * 1024 } }));
}

/** Failures that a bad network may show; anything else is a fault of ours. */
function mayHappen(error: unknown): void {
  if (!isPagefoldError(error, "unavailable", "corrupt", "not_found", "conflict", "diverged", "invalid"))
    throw error;
}

async function agreed(volume: Volume, expected: readonly number[], at: number): Promise<void> {
  const [byte] = await volume.read(at * 4096 + 7, 1);
  expect(byte).toBe(expected[at] ?? 0);
}

describe("a network that lies", () => {
  for (let i = 0; i < 4; i++) {
    const seed = testSeed * 31 + i;
    it(`is survived, seed ${seed}`, { timeout: 120_000 }, async (context) => {
      if (i > 1) onDemand(context);
      const server: ServedHere = keep(await serveHere(new MemoryObjectStore()));
      const proxy = keep(await ChaosProxy.start({ upstream: server.url, seed, badness: 0.25 }));
      const random = seededRandom(seed);
      const below = (n: number): number => Math.floor(random() * n);
      proxy.active = false;
      const writer = await (await client(proxy.url)).createVolume({ tag: "data" });
      const expected: number[] = new Array(PAGES).fill(0);
      const state: number[] = [...expected];
      await writer.write(0, new Uint8Array(PAGES * 4096));
      await writer.push();
      const reader = await (await client(proxy.url)).volume("data");
      proxy.active = true;
      for (let round = 0; round < ROUNDS; round++) {
        const page = below(PAGES);
        const byte = 1 + below(255);
        await writer.write(page * 4096, new Uint8Array(4096).fill(byte));
        state[page] = byte;
        // Every state that is pushed is one that was written; what is not acknowledged goes with the next push.
        await writer.push().then(() => expected.splice(0, PAGES, ...state), mayHappen);
        await reader.pull().catch(mayHappen);
        if (reader.status().lsn === writer.status().lsn && writer.status().ahead === 0)
          await agreed(reader, state, below(PAGES)).catch(mayHappen);
      }
      expect([...proxy.done.keys()].length).toBeGreaterThan(5);
      proxy.active = false;
      await writer.push();
      await reader.pull();
      for (let page = 0; page < PAGES; page++) await agreed(reader, state, page);
      // From the beginning, by somebody who has seen nothing of it.
      const fresh = await (await client(server.url)).volume("data");
      expect(fresh.status().lsn).toBe(writer.status().lsn);
      await fresh.verify();
    });
  }
});
