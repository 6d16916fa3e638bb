/** A server as a process: it goes down without cutting off what is under way, twice at once, and comes up again after it was killed. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { join, relative } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { filesBelow, runJson, temporaryFolder, until } from "../cli/cli.ts";
import { endServers, serve } from "../cli/serve.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;
/** The largest object: more than the buffers between two processes hold. */
let segment: string;
const at = (...names: string[]): string => join(folder.path, ...names);

beforeAll(async () => {
  folder = await temporaryFolder();
  store = at("store");
  const bytes = randomBytes(40_000_000);
  await writeFile(at("source.bin"), bytes);
  await runJson(["import", at("source.bin"), "--tag", "big", "--store", store]);
  const keys = (await filesBelow(store)).map((file) => relative(store, file));
  segment = keys.find((key) => key.includes("/segments/")) ?? "";
});
afterEach(endServers);
afterAll(async () => folder?.remove());

/** Asks and reads nothing of the answer yet. */
function begin(url: string): Promise<{ sent: ClientRequest; response: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false }, (response) => {
      response.pause();
      resolve({ sent, response });
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function readRest(response: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  return bytes;
}

/** Resolves when nobody listens any more. */
function refused(url: string): Promise<void> {
  return until("the port to be closed", async () => {
    const error = await fetch(`${url}/healthz`).then(
      () => undefined,
      (e: Error) => e,
    );
    return (error?.cause as { code?: string } | undefined)?.code === "ECONNREFUSED";
  });
}

describe("SIGTERM", () => {
  it("lets the answers under way finish, ends streams, takes nothing new, and exits with 0", async () => {
    const server = await serve(["--store", store, "--drain-timeout", "40s"]);
    const events = await fetch(`${server.url}/v1/events?volume=big`);
    const { response } = await begin(`${server.url}/${segment}`);
    expect(response.statusCode).toBe(200);
    expect(Number(response.headers["content-length"])).toBeGreaterThan(30_000_000);
    const stopped = server.stop();
    await refused(server.url);
    // Its reader comes back elsewhere: it ended, and was not broken off.
    expect(await events.text()).toMatch(/^: beat\n\n/);
    expect(await readRest(response)).toBe(Number(response.headers["content-length"]));
    const { code, stderr } = await stopped;
    expect(code).toBe(0);
    expect(stderr).toContain("once more to stop at once");
    expect(stderr).toContain('"msg":"stopped"');
  });

  it("cuts off what does not end in time", async () => {
    const server = await serve(["--store", store, "--drain-timeout", "50ms"]);
    const { response } = await begin(`${server.url}/${segment}`);
    const { code, stderr } = await server.stop();
    expect(code).toBe(0);
    await expect(readRest(response)).rejects.toThrow("aborted");
    const line = stderr.split("\n").find((text) => text.includes('"msg":"request"'));
    expect(JSON.parse(line ?? "{}")).toMatchObject({ status: 200, cut: true });
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`and ${signal} once more end it at once`, async () => {
      const server = await serve(["--store", store, "--drain-timeout", "40s"]);
      const { response } = await begin(`${server.url}/${segment}`);
      server.cli.child.kill("SIGTERM");
      await until("the first signal to be heard", () => server.stderr().includes("once more"));
      await refused(server.url);
      server.cli.child.kill(signal);
      const result = await server.cli.result;
      expect(result.signal).toBe(signal);
      await expect(readRest(response)).rejects.toThrow("aborted");
    });
  }

  it("with a delay it goes on, not ready, until a second signal or the delay is over", async () => {
    const server = await serve(["--store", store, "--drain-delay", "45s"]);
    server.cli.child.kill("SIGTERM");
    await until("it to be not ready", async () => (await fetch(`${server.url}/readyz`)).status === 503);
    expect((await fetch(`${server.url}/v1/tags`)).status).toBe(200);
    server.cli.child.kill("SIGTERM");
    expect((await server.cli.result).signal).toBe("SIGTERM");
    const short = await serve(["--store", store, "--drain-delay", "10ms"]);
    expect((await short.stop()).code).toBe(0);
  });
});

describe("a server that was killed", () => {
  it("leaves nothing that keeps the next from starting, cache and all", async () => {
    const args = ["--store", store, "--cache-dir", at("cache")];
    const first = await serve(args);
    expect((await (await fetch(`${first.url}/${segment}`)).arrayBuffer()).byteLength).toBeGreaterThan(1e6);
    await expect(serve(args)).rejects.toThrow(/busy/);
    first.cli.child.kill("SIGKILL");
    await first.cli.result;
    const second = await serve(args);
    const whole = new Uint8Array(await (await fetch(`${second.url}/${segment}`)).arrayBuffer());
    const direct = await serve(["--store", store]);
    const same = new Uint8Array(await (await fetch(`${direct.url}/${segment}`)).arrayBuffer());
    expect(Buffer.compare(whole, same)).toBe(0);
    expect((await second.stop()).code).toBe(0);
  });
});

describe("two servers over one store", () => {
  /** Follows a volume; resolves when the server knows where it stands, so that what is heard later is news. */
  async function follow(url: string): Promise<{ heard(lsn: number): Promise<void> }> {
    const leave = new AbortController();
    const response = await fetch(`${url}/v1/events?volume=shop`, { signal: leave.signal });
    await until("the first look", async () =>
      /pagefold_events_looks_total [1-9]/.test(await (await fetch(`${url}/metrics`)).text()),
    );
    const heard = async (lsn: number): Promise<void> => {
      let text = "";
      for await (const chunk of response.body!) {
        text += new TextDecoder().decode(chunk as Uint8Array);
        if (text.includes(`"lsn":${lsn}`)) break;
      }
      leave.abort();
      expect(text).toContain(`"lsn":${lsn}`);
    };
    return { heard };
  }

  it("a commit through one is heard at the other by notice, a direct one by the poll, and the log stays one", async () => {
    const shared = at("shared");
    await writeFile(at("small.bin"), "0123456789");
    await runJson(["import", at("small.bin"), "--tag", "shop", "--store", shared]);
    const listener = await serve(["--store", shared]);
    const poller = await serve(["--store", shared, "--poll", "20ms"]);
    const writer = await serve(["--store", shared, "--peer", listener.url]);
    const write = (to: string, text: string) =>
      runJson(["write", "shop", "--offset", "0", "--store", to], { stdin: text });
    const told = await follow(listener.url);
    expect(await write(writer.url, "first")).toMatchObject({ lsn: 2 });
    await told.heard(2);
    const polled = await follow(poller.url);
    expect(await write(shared, "second")).toMatchObject({ lsn: 3 });
    await polled.heard(3);
    expect(await write(listener.url, "third")).toMatchObject({ lsn: 4 });
    for (const url of [listener.url, poller.url, writer.url]) {
      expect(await (await fetch(`${url}/v1/volumes/shop`)).json()).toMatchObject({ lsn: 4 });
    }
    expect(await runJson(["verify", "shop", "--store", writer.url])).toMatchObject({ lsn: 4 });
  });
});
