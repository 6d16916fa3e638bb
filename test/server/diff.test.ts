/** Differences over HTTP are the engine's own: exact ones too, and of states that only a checkpoint keeps. */
import { expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { openStore } from "../store/support.ts";
import { Site } from "./support.ts";

it("differences with exact=1 leave out what was written with the bytes that it had", async () => {
  const remote = new MemoryObjectStore();
  const volume = await (await openStore(remote)).createVolume({ tag: "docs", pageSize: 512 });
  for (const fill of [1, 2, 1]) {
    await volume.write(0, new Uint8Array(512).fill(fill));
    await volume.write(512, new Uint8Array(512).fill(3 + volume.status().lsn));
    await volume.push();
  }
  const site = new Site(remote);
  const rangesOf = async (query: string) => (await site.get(`/v1/volumes/docs/diff?${query}`)).json.pages;
  expect(await rangesOf("from=1&to=3")).toEqual([[1, 2]]);
  expect(await rangesOf("from=1&to=3&exact=1")).toEqual([[2, 2]]);
  expect(await rangesOf("from=0&exact=1")).toEqual([[1, 2]]);
});

it("differences from a state whose commit was collected are told, those that are not kept refused", async () => {
  const remote = new MemoryObjectStore();
  const runtime = new SimRuntime(4);
  const volume = await (await openStore(remote, { runtime })).createVolume({ tag: "docs", pageSize: 512 });
  for (let lsn = 1; lsn <= 30; lsn++) {
    await volume.write((lsn % 3) * 512, new Uint8Array(512).fill(lsn));
    await volume.push();
    runtime.advance(60_000);
  }
  await volume.setRetention({ all: "5m", keep: [7] });
  for (let i = 0; i < 2; i++) {
    await volume.collect({ graceMs: 0 });
    runtime.advance(1);
  }
  const site = new Site(remote);
  const kept = await site.get("/v1/volumes/docs/diff?from=7&to=29");
  expect([kept.status, kept.json.pages]).toEqual([200, [[1, 3]]]);
  expect((await site.get("/v1/volumes/docs/diff?from=29&to=30")).json.pages).toEqual([[1, 1]]);
  expect((await site.get("/v1/volumes/docs/diff?from=8&to=30")).status).toBe(404);
});
