/** `pagefold serve` and `pagefold token` as users run them: what they print, what they refuse, and the whole way from a store to a client and back. */
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { flagOf, settingNames } from "../../server/http/ops/settings.ts";
import { onDemand } from "../more.ts";
import { fauxqsCredentials, type S3Server, startFauxqs } from "../node/fauxqs.ts";
import { TinyS3 } from "../node/tiny-s3.ts";
import { randomBytes as incompressible, testSeed } from "../store/support.ts";
import * as processes from "./cli.ts";
import { type CliResult, objectsBelow, sha256, temporaryFolder } from "./cli.ts";
import { failJson, runCli, runJson } from "./either.ts";
import { sampleDatabase } from "./sample-database.ts";
import { endServers, serve } from "./serve.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let database: Uint8Array;
let directory: string;
const at = (...names: string[]): string => join(folder.path, ...names);

beforeAll(async () => {
  folder = await temporaryFolder();
  source = at("source.db");
  database = await sampleDatabase();
  await writeFile(source, database);
  directory = at("store");
  await runJson(["import", source, "--tag", "shop", "--store", directory]);
});
afterEach(endServers);
afterAll(async () => folder?.remove());

describe("what it prints", () => {
  it("one line of JSON with the address on stdout, facts and the log on stderr", async () => {
    const { url, port, stop } = await serve(["--store", directory]);
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect(await (await fetch(`${url}/v1/tags`)).json()).toMatchObject({ tags: [{ tag: "shop" }] });
    const { code, stdout, stderr } = await stop();
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      url,
      host: "127.0.0.1",
      port,
      store: `file://${directory}`,
      version: expect.stringMatching(/^\d/),
    });
    expect(stdout.split("\n").length).toBe(2);
    const talk = stderr.split("\n").filter((line) => line.startsWith("pagefold: "));
    expect(talk.some((line) => line.includes(`serves file://${directory}`))).toBe(true);
    expect(talk.some((line) => line.includes("whoever is on this machine may do everything"))).toBe(true);
    const log = stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line));
    expect(log.map(({ msg }) => msg)).toEqual(["serving", "request", "stopped"]);
    expect(log[1]).toMatchObject({ method: "GET", route: "/v1/tags", status: 200 });
  });

  it("with --quiet and --log-level warn nothing at all", async () => {
    const { stop } = await serve(["--store", directory, "--quiet", "--log-level", "warn"]);
    expect((await stop()).stderr).toBe("");
  });

  it("its help names every setting's default and how to set them", async () => {
    const { stdout: wrapped } = await runCli(["serve", "--help"]);
    const stdout = wrapped.replace(/\s+/g, " ");
    for (const name of settingNames) expect(stdout).toContain(` ${flagOf(name)} `);
    expect(stdout).toContain("PAGEFOLD_CACHE_DIR");
    expect(stdout).toContain("default: 7080");
    expect(stdout).toContain("default: 256 MB");
  });
});

describe("where settings come from", () => {
  it("options, then variables, then the file", async () => {
    const config = at("config.json");
    await writeFile(
      config,
      JSON.stringify({ store: at("nowhere"), public: ["a"], cors: ["https://file.example"] }),
    );
    const env = { PAGEFOLD_STORE: directory, PAGEFOLD_PUBLIC: "b", PAGEFOLD_CONFIG: config };
    const { url, stop } = await serve(["--public", "shop", "c", "--public", "d-*"], { env });
    const { headers } = await fetch(`${url}/v1/tags`, { headers: { origin: "https://file.example" } });
    expect(headers.get("access-control-allow-origin")).toBe("https://file.example");
    expect((await stop()).stderr).toContain("anybody may read shop, c, d-*");
  });

  it.each<[string, string[], Record<string, string>, RegExp]>([
    ["no store", ["--port", "0"], {}, /no store is named/],
    ["an option that is none", ["--jwt-secret", "x"], {}, /unknown option/],
    ["a port that is none", ["--store", "memory:", "--port", "http"], {}, /--port is no whole number/],
    ["an algorithm that is none", ["--store", "memory:", "--jwt-algorithm", "none"], {}, /HS256/],
    [
      "a variable that cannot be read",
      ["--store", "memory:"],
      { PAGEFOLD_CACHE_MEMORY: "much" },
      /PAGEFOLD_CACHE_MEMORY/,
    ],
    [
      "everything open to the network by omission",
      ["--store", "memory:", "--host", "0.0.0.0"],
      {},
      /who may do what/,
    ],
    ["open to the network", ["--store", "memory:", "--host", "0.0.0.0", "--open"], {}, /--open-to-network/],
    ["a weak secret", ["--store", "memory:"], { PAGEFOLD_JWT_SECRET: "hunter2" }, /7 bytes/],
    ["an origin that is none", ["--store", "memory:", "--cors", "app"], {}, /no origin/],
  ])("%s is misuse", async (_, args, env, message) => {
    const { code, stderr, stdout } = await runCli(["serve", ...args], { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("hunter2");
  });

  it("a file with an unknown key is misuse, naming the key; a store that is not there is not found", async () => {
    const config = at("bad.json");
    await writeFile(config, JSON.stringify({ store: "memory:", prot: 80 }));
    expect(await failJson(["serve", "--config", config])).toMatchObject({
      exit: 2,
      code: "invalid",
      message: expect.stringContaining('"prot"'),
    });
    expect(await failJson(["serve", "--store", at("nowhere"), "--port", "0"])).toMatchObject({
      exit: 1,
      code: "not_found",
    });
    expect(await failJson(["serve", "--config", at("nowhere.json")])).toMatchObject({
      exit: 1,
      code: "not_found",
    });
  });
});

describe("over a directory", () => {
  it("serves every object as it is, whole and in ranges", async () => {
    const { url } = await serve(["--store", directory]);
    const files = await objectsBelow(directory);
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      const key = relative(directory, file);
      const bytes = await readFile(file);
      const whole = await fetch(`${url}/${key}`);
      expect(whole.status, key).toBe(200);
      expect(sha256(new Uint8Array(await whole.arrayBuffer()))).toBe(sha256(bytes));
      const part = await fetch(`${url}/${key}`, { headers: { range: "bytes=3-9" } });
      expect(part.status).toBe(206);
      expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(3, 10));
    }
  });

  it("the command works over it as over the directory: import, sql, push, pull, export", async () => {
    const store = at("served");
    const { url, stop } = await serve([
      "--store",
      store,
      "--create",
      "--cache-dir",
      at("cache"),
      "--poll",
      "100ms",
    ]);
    const served = ["--store", url];
    expect(await runJson(["import", source, "--tag", "shop", ...served])).toMatchObject({
      lsn: 1,
      bytes: database.length,
    });
    const local = ["--local", at("replica")];
    const count = ["sql", "shop", "SELECT count(*) FROM items WHERE id < 100", ...served, ...local];
    expect(await runJson(count)).toMatchObject({ rows: [[99]] });
    const insert = ["sql", "shop", "INSERT INTO items (id) VALUES (-5)", ...served];
    expect(await runJson(insert)).toMatchObject({ push: { lsn: 2 } });
    expect(await runJson(["pull", "shop", ...served, ...local])).toMatchObject({ from: 1, to: 2 });
    expect(await runJson(count)).toMatchObject({ rows: [[100]] });
    expect(await runJson(["verify", "shop", ...served])).toMatchObject({ lsn: 2 });
    await runJson(["export", "shop", at("out.db"), "--lsn", "1", ...served]);
    expect(sha256(await readFile(at("out.db")))).toBe(sha256(database));
    const { code, stderr } = await stop();
    expect(code).toBe(0);
    expect(stderr).not.toMatch(/"level":"(warn|error)"/);
    // The directory beside the server says the same.
    expect(await runJson(["verify", "shop", "--store", store])).toMatchObject({ lsn: 2 });
    expect((await readdir(at("cache"))).length).toBeGreaterThan(0);
  });

  it("what anybody may read shared caches may keep, what a token shows they may not", async () => {
    const store = at("large");
    await writeFile(at("large.bin"), incompressible(2_000_000, testSeed));
    await runJson(["import", at("large.bin"), "--tag", "shop", "--store", store]);
    const keys = (await objectsBelow(store)).map((file) => relative(store, file));
    const key = keys.find((name) => name.includes("/segments/"));
    const env = { PAGEFOLD_JWT_SECRET: randomBytes(24).toString("hex") };
    const { url, stop } = await serve(["--store", store, "--public", "shop"], { env });
    const { token } = await runJson<{ token: string }>(["token", "--right", "read:shop", "--expires", "1h"], {
      env,
    });
    const caching = async (headers: Record<string, string>): Promise<string | null> =>
      (await fetch(`${url}/${key}`, { headers: { range: "bytes=0-9", ...headers } })).headers.get(
        "cache-control",
      );
    for (let i = 0; i < 2; i++) {
      expect(await caching({})).toBe("public, max-age=31536000, immutable");
      expect(await caching({ authorization: `Bearer ${token}` })).toBe(
        "private, max-age=31536000, immutable",
      );
    }
    const write = ["write", "shop", "--offset", "0", "--store", url];
    expect(await failJson(write, { stdin: "not what was there before" })).toMatchObject({
      code: "forbidden",
    });
    expect((await stop()).code).toBe(0);
  });

  it("tokens decide: read, write, nothing, and the log names their holders only", async () => {
    const secret = randomBytes(24).toString("hex");
    const file = at("secret");
    await writeFile(file, `${secret}\n`);
    const token = async (rights: string[], ...more: string[]): Promise<string> =>
      (
        await runJson<{ token: string }>([
          "token",
          ...rights.flatMap((right) => ["--right", right]),
          "--secret-file",
          file,
          "--expires",
          "1h",
          ...more,
        ])
      ).token;
    const { url, stop } = await serve([
      "--store",
      directory,
      "--jwt-secret-file",
      file,
      "--audience",
      "here",
      "there",
    ]);
    const tags = (auth: string): Promise<CliResult> =>
      runCli(["tags", "--store", url, "--json"], { env: { PAGEFOLD_TOKEN: auth } });
    const reader = await token(["read:sh*"], "--audience", "there", "--subject", "rita");
    expect(JSON.parse((await tags(reader)).stdout)).toMatchObject([{ tag: "shop" }]);
    expect(JSON.parse((await tags(await token(["read:other"], "--audience", "here"))).stdout)).toEqual([]);
    const stranger = await token(["admin:*"], "--audience", "elsewhere");
    expect((await tags(stranger)).stderr).toContain("unauthorized");
    expect((await runCli(["tags", "--store", url])).stderr).toContain("unauthorized");
    const write = ["write", "shop", "--offset", "0", "--store", url];
    const refused = await failJson(write, { stdin: "x", env: { PAGEFOLD_TOKEN: reader } });
    expect(refused).toMatchObject({ exit: 1, code: "forbidden" });
    const { stderr } = await stop();
    expect(stderr).toContain('"principal":"rita"');
    for (const text of [secret, reader, stranger, reader.split(".")[2]!]) expect(stderr).not.toContain(text);
  });
});

describe("over S3", () => {
  const endpoint = process.env.PAGEFOLD_TEST_S3_ENDPOINT;

  it("with conditional creation: written and read through the server", async (ctx) => {
    if (endpoint === undefined) return ctx.skip("PAGEFOLD_TEST_S3_ENDPOINT is not set");
    const bucket = process.env.PAGEFOLD_TEST_S3_BUCKET ?? "";
    const store = `s3://${bucket}/serve/${randomBytes(8).toString("hex")}`;
    const { url } = await serve(["--store", store, "--endpoint", endpoint]);
    expect(await runJson(["import", source, "--tag", "shop", "--store", url])).toMatchObject({ lsn: 1 });
    const sql = ["sql", "shop", "SELECT count(*) FROM items WHERE id < 100", "--store", url];
    expect(await runJson(sql)).toMatchObject({ rows: [[99]] });
    expect(await runJson(["verify", "shop", "--store", store, "--endpoint", endpoint])).toMatchObject({
      lsn: 1,
    });
  });

  it("two servers over one bucket, racing: each LSN once, nobody's commit is lost", async (context) => {
    onDemand(context);
    const s3 = new TinyS3();
    const s3Address = await s3.listen();
    try {
      const store = ["--store", "s3://bucket/data", "--endpoint", s3Address, "--region", "us-east-1"];
      const env = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test-secret" };
      const [a, b] = await Promise.all([serve(store, { env }), serve(store, { env })]);
      await runJson(["import", source, "--tag", "shop", "--store", a.url]);
      const add = (url: string, id: number) =>
        processes.runCli(["sql", "shop", `INSERT INTO items (id) VALUES (${-id})`, "--store", url, "--json"]);
      let pushed = 0;
      for (let round = 0; round < 2; round++) {
        const results = await Promise.all([add(a.url, ++pushed), add(b.url, ++pushed)]);
        for (const [index, { code, stderr }] of results.entries()) {
          if (code === 0) continue;
          // The one that was late is told so, and may do it again.
          expect(stderr).toMatch(/conflict|diverged/);
          const id = pushed - 1 + index;
          expect((await add([a.url, b.url][index]!, id)).code).toBe(0);
        }
      }
      for (const { url } of [a, b]) {
        const sql = ["sql", "shop", "SELECT count(*) FROM items WHERE id < 0", "--store", url];
        expect(await runJson(sql)).toMatchObject({ rows: [[pushed]] });
        const log = await runJson<{ lsn: number }[]>(["log", "shop", "--store", url]);
        expect(log.map(({ lsn }) => lsn).sort((x, y) => x - y)).toEqual([1, 2, 3, 4, 5]);
        expect(await runJson(["verify", "shop", "--store", url])).toMatchObject({ lsn: 5 });
      }
      for (const { stop } of [a, b]) expect((await stop()).code).toBe(0);
    } finally {
      await s3.close();
    }
  });

  describe("that ignores conditional creation", () => {
    let s3: S3Server;
    const env = {
      AWS_ACCESS_KEY_ID: fauxqsCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: fauxqsCredentials.secretAccessKey,
    };
    beforeAll(async () => {
      s3 = await startFauxqs();
      const client = new S3Client({
        endpoint: s3.endpoint,
        region: "us-east-1",
        credentials: fauxqsCredentials,
        forcePathStyle: true,
      });
      for (const file of await objectsBelow(directory)) {
        const Key = `copy/${relative(directory, file)}`;
        await client.send(new PutObjectCommand({ Bucket: s3.bucket, Key, Body: await readFile(file) }));
      }
      client.destroy();
    });
    afterAll(async () => s3?.stop());

    it("reading works, writing is refused with the reason and nothing is written", async () => {
      const { url, stop } = await serve(
        ["--store", `s3://${s3.bucket}/copy`, "--endpoint", s3.endpoint, "--region", "us-east-1"],
        { env },
      );
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      const sql = ["sql", "shop", "SELECT count(*) FROM items WHERE id < 100", "--store", url];
      expect(await runJson(sql)).toMatchObject({ rows: [[99]] });
      const refused = await failJson(["write", "shop", "--offset", "0", "--store", url], { stdin: "x" });
      expect(refused).toMatchObject({ exit: 1, code: "forbidden" });
      expect(refused.message).toContain("conditional");
      expect(await runJson(["log", "shop", "--store", url])).toHaveLength(1);
      expect((await stop()).stderr).not.toContain(fauxqsCredentials.secretAccessKey);
    });
  });

  it("a bucket that cannot be reached: it serves, is not ready, and says why once asked", async () => {
    const store = ["--store", "s3://bucket/x", "--endpoint", "http://127.0.0.1:9", "--region", "us-east-1"];
    const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
    const { url } = await serve(store, { env });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    expect(ready.headers.get("retry-after")).toBe("1");
  });
});

describe("pagefold token", () => {
  it("prints the token and nothing else on stdout, what it allows on stderr", async () => {
    const env = { PAGEFOLD_JWT_SECRET: "a secret of more than thirty-two bytes" };
    const args = ["token", "--right", "write:shop-*", "read:*", "--expires", "90m", "--subject", "al"];
    const { code, stdout, stderr } = await processes.runCli(args, { env });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(stderr).toMatch(/^write:shop-\*, read:\* until \d{4}-/);
    const payload = JSON.parse(Buffer.from(stdout.split(".")[1]!, "base64url").toString("utf8"));
    expect(payload).toMatchObject({
      sub: "al",
      pagefold: [
        { right: "write", prefix: "shop-" },
        { right: "read", prefix: "" },
      ],
    });
    expect(payload.exp - payload.iat).toBe(5400);
  });

  it.each<[string[], RegExp]>([
    [["--right", "read:a", "--expires", "1h"], /needs a key/],
    [["--right", "all:a", "--expires", "1h"], /no right/],
    [["--right", "read:", "--expires", "1h"], /no right/],
    [["--right", "read:a b", "--expires", "1h"], /cannot be a tag/],
    [["--right", "read:a", "--expires", "soon"], /no duration/],
    [["--right", "read:a", "--expires", "0"], /second or more/],
    [["--expires", "1h"], /--right/],
    [["--right", "read:a"], /--expires/],
    [
      ["--right", "read:a", "--expires", "1h", "--secret-file", "a", "--key-file", "b"],
      /exclude one another/,
    ],
  ])("%j is misuse", async (args, message) => {
    const { code, stderr } = await runCli(["token", ...args]);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it("a file that is not there is not found", async () => {
    const args = ["token", "--right", "read:a", "--expires", "1h", "--key-file", at("nowhere")];
    expect(await failJson(args)).toMatchObject({ exit: 1, code: "not_found" });
  });
});
