/** The command over S3: end to end where a server with conditional writes is there, refused for writing where one has none. */
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fauxqsCredentials, type S3Server, startFauxqs } from "../node/fauxqs.ts";
import { failJson, runJson, sha256, temporaryFolder } from "./cli.ts";
import { sampleDatabase } from "./sample-database.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
let database: Uint8Array;
const at = (...names: string[]): string => join(folder.path, ...names);

beforeAll(async () => {
  folder = await temporaryFolder();
  source = at("source.db");
  database = await sampleDatabase();
  await writeFile(source, database);
});

afterAll(async () => folder?.remove());

describe("on a server with conditional writes", () => {
  const endpoint = process.env.PAGEFOLD_TEST_S3_ENDPOINT;
  const bucket = process.env.PAGEFOLD_TEST_S3_BUCKET ?? "";

  it("the main job works as on a file system: import, clone, sql, write, pull, export", async (ctx) => {
    if (endpoint === undefined) return ctx.skip("PAGEFOLD_TEST_S3_ENDPOINT is not set");
    const store = ["--store", `s3://${bucket}/t/${randomUUID()}`, "--endpoint", endpoint];
    const local = ["--local", at("replica")];
    const imported = await runJson(["import", source, "--tag", "shop", ...store]);
    expect(imported).toMatchObject({ lsn: 1, bytes: database.length });
    expect(await runJson(["tags", ...store])).toEqual([{ tag: "shop", volume: imported.volume }]);
    expect(await runJson(["clone", "shop", ...store, ...local])).toMatchObject({ lsn: 1 });
    const sql = ["sql", "shop", "SELECT count(*) FROM items WHERE id < 100", ...store, ...local];
    expect(await runJson(sql)).toMatchObject({ rows: [[99]] });
    expect(await runJson(sql)).toMatchObject({ rows: [[99]], stats: { requests: 0 } });
    const grown = ["write", "shop", "--offset", `${database.length}`, ...store];
    expect(await runJson(grown, { stdin: "tail" })).toMatchObject({ lsn: 2, pushed: true });
    expect(await runJson(["pull", "shop", ...store, ...local])).toMatchObject({ from: 1, to: 2 });
    expect(await runJson(["verify", "shop", ...store])).toMatchObject({ lsn: 2 });
    await runJson(["export", "shop", at("out.db"), "--lsn", "1", ...store]);
    expect(sha256(await readFile(at("out.db")))).toBe(sha256(database));
  });
});

describe("on a server that ignores conditional creation", () => {
  let server: S3Server;
  const env = {
    AWS_ACCESS_KEY_ID: fauxqsCredentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: fauxqsCredentials.secretAccessKey,
  };
  beforeAll(async () => {
    server = await startFauxqs();
  });
  afterAll(async () => server?.stop());

  it("import is refused before anything is written, with the reason; reading works", async () => {
    const store = ["--store", `s3://${server.bucket}/refused`, "--endpoint", server.endpoint];
    const failure = await failJson(["import", source, "--tag", "shop", ...store], { env });
    expect(failure).toMatchObject({ exit: 1, code: "forbidden" });
    expect(failure.message).toContain("conditional");
    expect(await runJson(["tags", ...store], { env })).toEqual([]);
  });

  it("a server that is not there is unavailable", async () => {
    const store = ["--store", "s3://bucket/x", "--endpoint", "http://127.0.0.1:9", "--region", "us-east-1"];
    const failure = await failJson(["tags", ...store], { env });
    expect(failure).toMatchObject({ exit: 1, code: "unavailable" });
  });
});
