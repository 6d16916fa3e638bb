/** Stores over HTTP by Node's own requests: the contract of object stores, bodies that stream, and what hosts do that nobody asked for. */
import { afterAll, describe, expect, it } from "vitest";
import { nodeFetch } from "../../src/node/http-fetch.ts";
import { HttpObjectStore } from "../../src/remote/http/http-object-store.ts";
import { Site } from "../browser/site.ts";
import { objectStoreContract } from "../contracts/object-store.ts";

const site = await Site.start();
afterAll(() => site.close());
let spaces = 0;

function storeOn(space: string): HttpObjectStore {
  return new HttpObjectStore(site.objectsUrl(space), {
    kind: "server",
    fetch: nodeFetch,
    streamBodies: true,
  });
}

objectStoreContract({ describe, it }, "HTTP, by Node's own requests", async () => {
  const space = `node-${++spaces}`;
  return { store: storeOn(space), reopen: async () => storeOn(space) };
});

describe("Node's own requests", () => {
  it("end with their signal, also while a body comes", async () => {
    const store = storeOn("signals");
    await store.put("key", new Uint8Array(2_000_000));
    site.latencyMs = 60_000;
    const controller = new AbortController();
    const reading = store.get("key", { signal: controller.signal });
    await expect.poll(() => site.requests.length).toBeGreaterThan(0);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: "aborted" });
    site.latencyMs = 0;
    expect((await store.get("key"))?.length).toBe(2_000_000);
  });

  it("to nobody are unavailable, and may be repeated", async () => {
    const gone = await Site.start();
    await gone.close();
    const store = new HttpObjectStore(gone.objectsUrl("x"), { kind: "server", fetch: nodeFetch });
    await expect(store.get("key")).rejects.toMatchObject({ code: "unavailable", retryable: true });
  });
});
