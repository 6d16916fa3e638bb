/** Settings: where they come from and which place wins, what is refused, and that a server nobody meant to be open is not started. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { admission } from "../../server/http/ops/admission.ts";
import { gatherSettings, parseConfig, secretsOf } from "../../server/http/ops/config.ts";
import { describeServer } from "../../server/http/ops/facts.ts";
import { parseClaim } from "../../server/http/ops/grants.ts";
import { startServer } from "../../server/http/ops/index.ts";
import { parseByteSize, parseDuration } from "../../server/http/ops/quantities.ts";
import {
  flagOf,
  type GivenSettings,
  SETTINGS,
  settingNames,
  variableOf,
  withDefaults,
} from "../../server/http/ops/settings.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pagefold-config-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(content: unknown): Promise<string> {
  const path = join(folder, `${files++}.json`);
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

describe("places", () => {
  it("flags win over the environment, the environment over the file, the file over defaults", async () => {
    const config = await file({
      port: 1,
      host: "file",
      cacheMemory: "1k",
      cors: ["https://file.example"],
      open: true,
    });
    const env = {
      PAGEFOLD_PORT: "2",
      PAGEFOLD_HOST: "env",
      PAGEFOLD_CACHE_MEMORY: "",
      PAGEFOLD_CORS: "https://a.example, https://b.example",
    };
    const given = await gatherSettings({ port: 3 }, env, config);
    expect(given).toEqual({
      port: 3,
      host: "env",
      cacheMemory: 1024,
      cors: ["https://a.example", "https://b.example"],
      open: true,
    });
    expect(withDefaults(given)).toMatchObject({ port: 3, maxRequests: 1000, metrics: "open" });
    expect(withDefaults({}).port).toBe(7080);
  });

  it("PAGEFOLD_CONFIG names the file where no flag does", async () => {
    const [a, b] = [await file({ port: 1 }), await file({ port: 2 })];
    expect(await gatherSettings({}, { PAGEFOLD_CONFIG: a })).toEqual({ port: 1 });
    expect(await gatherSettings({}, { PAGEFOLD_CONFIG: a }, b)).toEqual({ port: 2 });
    expect(await gatherSettings({}, {})).toEqual({});
  });

  it("what an orchestrator sets for a service of that name is no port", async () => {
    expect(await gatherSettings({}, { PAGEFOLD_PORT: "tcp://10.0.0.7:80" })).toEqual({});
  });

  it("secrets come from the environment by themselves", () => {
    const env = { PAGEFOLD_JWT_SECRET: "s", PAGEFOLD_PEER_TOKEN: "" };
    expect(secretsOf(env)).toEqual({ jwtSecret: "s" });
  });

  it("every setting has a flag, a variable, a key and a line in the reference", async () => {
    expect(flagOf("cacheDir")).toBe("--cache-dir");
    expect(variableOf("jwtSecretFile")).toBe("PAGEFOLD_JWT_SECRET_FILE");
    const reference = await readFile(new URL("../../docs/server.md", import.meta.url), "utf8");
    for (const name of settingNames) {
      const row = reference.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
      expect(row, `docs/server.md has no row for ${name}`).toBeDefined();
      const preset = (SETTINGS[name] as { default?: unknown }).default;
      if (typeof preset === "number" && SETTINGS[name].kind === "count")
        expect(row).toContain(`| ${preset} |`);
    }
  });
});

describe("docs/server.md", () => {
  it("shows a configuration and a claim that are understood", async () => {
    const reference = await readFile(new URL("../../docs/server.md", import.meta.url), "utf8");
    const blocks = [...reference.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => JSON.parse(text!));
    expect(blocks.length).toBe(2);
    const [claims, config] = blocks;
    expect(parseClaim(claims.pagefold)).toEqual(claims.pagefold);
    expect(parseConfig(config, "docs/server.md")).toEqual(config);
  });
});

describe("what is refused", () => {
  it.each<[Record<string, unknown>, RegExp]>([
    [{ prot: 1 }, /"prot" in X is no setting; see docs/],
    [{ cacheDirectory: "x" }, /"cacheDirectory" in X is no setting/],
    [{ peers: ["http://a"] }, /did you mean "peer"/],
    [{ "cache-dir": "x" }, /did you mean "cacheDir"/],
    [{ jwtSecret: "hunter2hunter2" }, /a secret is no setting: give jwtSecretFile/],
    [{ peerToken: "hunter2hunter2" }, /give peerTokenFile/],
    [{ __proto__x: 1 }, /no setting/],
    [{ constructor: 1 }, /"constructor" in X is no setting/],
    [{ port: "80a" }, /"port" in X is no whole number/],
    [{ port: 1.5 }, /"port" in X is no whole number/],
    [{ port: -1 }, /"port" in X is no whole number/],
    [{ port: 70_000 }, /at most 65535/],
    [{ port: null }, /"port" in X is no number/],
    [{ host: 7 }, /"host" in X is no text/],
    [{ open: "yes" }, /neither true nor false/],
    [{ cors: "" }, /"cors" in X is no list/],
    [{ cors: [1] }, /"cors" in X is no list/],
    [{ cacheMemory: "many" }, /"cacheMemory" in X cannot be read.*"many" is no size/],
    [{ poll: "soon" }, /"soon" is no duration/],
    [{ metrics: "perhaps" }, /may be open, admin, off/],
    [{ jwtAlgorithm: ["none"] }, /"jwtAlgorithm" in X is "none"/],
    [{ logLevel: "loud" }, /may be debug/],
  ])("%j", (document, message) => {
    expect(() => parseConfig(document, "X")).toThrow(message);
    try {
      parseConfig(document, "X");
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid" });
      expect((error as Error).message).not.toContain("hunter2");
    }
  });

  it("files that are none, without repeating what is in them", async () => {
    await expect(gatherSettings({}, {}, join(folder, "nowhere"))).rejects.toMatchObject({
      code: "not_found",
    });
    const broken = await file('{"jwtSecret": "hunter2hunter2" oops');
    const error = await gatherSettings({}, {}, broken).catch((e: Error) => e);
    expect(error).toMatchObject({ code: "invalid" });
    expect((error as Error).message).not.toContain("hunter2");
    await expect(gatherSettings({}, {}, await file([1]))).rejects.toThrow("no JSON object");
  });

  it("variables and flags are named as they are written", async () => {
    await expect(gatherSettings({}, { PAGEFOLD_PORT: "x" })).rejects.toThrow(
      "PAGEFOLD_PORT is no whole number",
    );
    await expect(gatherSettings({ cacheDisk: "x" }, {})).rejects.toThrow("--cache-disk cannot be read");
  });
});

describe("quantities", () => {
  it.each([
    ["0", 0],
    ["4096", 4096],
    ["64k", 65_536],
    ["256MB", 268_435_456],
    ["1.5GiB", 1_610_612_736],
    ["1 T", 1_099_511_627_776],
    ["10b", 10],
  ])("%s is %d bytes", (text, bytes) => expect(parseByteSize(text)).toBe(bytes));

  it.each([
    ["500", "ms", 500],
    ["500", "s", 500_000],
    ["90s", "ms", 90_000],
    ["1.5h", "ms", 5_400_000],
    ["7d", "s", 604_800_000],
    ["20ms", "s", 20],
  ] as const)("%s (%s) is %d ms", (text, unit, ms) => expect(parseDuration(text, unit)).toBe(ms));

  it.each(["", "-1", "1e3", "k", "1kk", "0x10", "9e99", "99999999999T"])("%j is no size", (text) =>
    expect(() => parseByteSize(text)).toThrow("no size"),
  );
  it.each(["", "-1s", "1w", "s", "1 2"])("%j is no duration", (text) =>
    expect(() => parseDuration(text, "ms")).toThrow("no duration"),
  );
});

describe("who is let in", () => {
  const secrets = { jwtSecret: "a secret of more than thirty-two bytes" };
  const admitted = (given: GivenSettings, withSecret = false) =>
    admission(withDefaults(given), withSecret ? secrets : {}, systemRuntime);

  it("without keys: everybody on this machine, and it says so", async () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost"]) {
      const { authenticator, guarded, facts } = await admitted({ host });
      expect(authenticator).toBeUndefined();
      expect(guarded).toBe(true);
      expect(facts).toEqual(["open: whoever is on this machine may do everything (no keys were given)"]);
    }
  });

  it("a server that others reach does not start open by omission", async () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.2", "data.example", "127.0.0.1.example"]) {
      await expect(admitted({ host })).rejects.toThrow(/nothing says who may do what/);
      await expect(admitted({ host, open: true })).rejects.toThrow(/--open-to-network if that is meant/);
      expect((await admitted({ host, openToNetwork: true })).guarded).toBe(false);
      expect((await admitted({ host, public: ["a"] })).authenticator).toBeDefined();
      expect((await admitted({ host }, true)).authenticator).toBeDefined();
    }
  });

  it("open and keys exclude one another", async () => {
    await expect(admitted({ open: true }, true)).rejects.toThrow("exclude one another");
    await expect(admitted({ openToNetwork: true, public: ["a"] })).rejects.toThrow("exclude one another");
  });

  it("files of keys are read, and what is wrong with them is said", async () => {
    const good = await file("0123456789abcdef0123456789abcdef\n");
    const short = await file("short\n");
    const { facts } = await admitted({
      jwtSecretFile: [good],
      jwtAlgorithm: ["HS256"],
      audience: ["pagefold"],
      public: ["shop", "open-*"],
    });
    expect(facts).toEqual(["tokens: HS256, for pagefold", "public: anybody may read shop, open-*"]);
    await expect(admitted({ jwtSecretFile: [short] })).rejects.toThrow(`${short} has 5 bytes`);
    await expect(admitted({ jwtKey: [good] })).rejects.toThrow("neither PEM nor a JWK");
    await expect(admitted({ jwtKey: [join(folder, "nowhere")] })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(admitted({ jwks: "http://idp.example/keys" })).rejects.toThrow("https://");
    await expect(admitted({ public: ["a b"] })).rejects.toMatchObject({ code: "invalid" });
    await expect(admitted({ public: ["a*b*"] })).rejects.toMatchObject({ code: "invalid" });
  });
});

describe("startServer", () => {
  const lines: string[] = [];
  const log = { write: (line: string) => void lines.push(line) };

  it("serves a store that is at hand, and leaves it open", async () => {
    const store = new MemoryObjectStore();
    const server = await startServer({ port: 0 }, { store, log });
    const response = await fetch(`${server.url}/v1`);
    expect(await response.json()).toMatchObject({ service: "pagefold", protocol: 1 });
    expect(server.facts[0]).toMatch(/serves memory:/);
    expect(server.facts[1]).toBe(`address: ${server.url}`);
    await server.close();
    await server.close();
    expect(await store.list("", {})).toEqual([]);
  });

  it("opens nothing for good where it cannot start", async () => {
    const store = new MemoryObjectStore();
    await using first = await startServer({ port: 0 }, { store, log });
    const cacheDir = join(folder, "cache");
    const settings = { port: first.port, cacheDir };
    await expect(startServer(settings, { store, log })).rejects.toMatchObject({ code: "busy" });
    // Its lock is free again.
    const second = await startServer({ port: 0, cacheDir }, { store, log });
    await expect(startServer({ port: 0, cacheDir }, { store, log })).rejects.toMatchObject({ code: "busy" });
    await second.close();
    await expect(startServer({ port: 0 }, { log })).rejects.toThrow("no store is named");
    await expect(startServer({ store: join(folder, "none"), port: 0 }, { log })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(startServer({ port: 0, basePath: "data/" }, { store, log })).rejects.toThrow("base path");
    await expect(startServer({ port: 0, peer: ["ftp://x"] }, { store, log })).rejects.toThrow("no http://");
  });

  it("says what to expect", () => {
    const facts = describeServer(
      withDefaults({
        cacheDir: "/c",
        poll: 5000,
        peer: ["http://a", "http://b"],
        cors: ["*"],
        rateLimit: 50,
        basePath: "/x",
        metrics: "off",
      }),
      { url: "http://h:1", store: "s3://b/p", version: "1.0.0", access: ["open"] },
    );
    expect(facts).toEqual([
      "1.0.0 serves s3://b/p",
      "address: http://h:1/x",
      "open",
      "cache: 256 MB in memory, 16 GB in /c",
      "commits of others: found within 5 s; http://a, http://b are told of those made here",
      "cors: pages of any origin",
      "rate: 50 requests per second and caller",
    ]);
  });
});
