/** `pagefold follow`: each move is a line, the file is whole at every moment, an interruption ends it. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli, runJson, startCli, temporaryFolder, until } from "./cli.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string[];

beforeAll(async () => {
  folder = await temporaryFolder();
  store = ["--store", join(folder.path, "store")];
});
afterAll(() => folder.remove());

async function put(name: string, byte: number): Promise<void> {
  const source = join(folder.path, `${name}.bin`);
  await writeFile(source, Buffer.alloc(10_000, byte));
  await runJson(["import", source, "--tag", name, ...store]);
}

describe("pagefold follow", () => {
  it("says every move as a line of JSON, and keeps a file equal to the newest state", async () => {
    await put("data", 1);
    const file = join(folder.path, "copy.bin");
    const args = ["follow", "data", ...store, "--poll", "50", "--file", file, "--until", "3", "--json"];
    const { child, result } = startCli(args);
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until("the first state", () => said.includes('"lsn":1'));
    expect(await readFile(file)).toEqual(Buffer.alloc(10_000, 1));
    await put("data", 2);
    await until("the second state", () => said.includes('"lsn":2'));
    expect(await readFile(file)).toEqual(Buffer.alloc(10_000, 2));
    await put("data", 3);
    const { code, stdout } = await result;
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ from, lsn }) => [from, lsn])).toEqual([
      [1, 1],
      [1, 2],
      [2, 3],
    ]);
    expect(await readFile(file)).toEqual(Buffer.alloc(10_000, 3));
  });

  it("ends by an interruption, at once, with the exit code of one", async () => {
    await put("other", 1);
    const { child, result } = startCli(["follow", "other", ...store]);
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until("the first state", () => said.includes("LSN 1"));
    child.kill("SIGINT");
    expect((await result).code).toBe(130);
  });

  it("of a volume that is not there is told as such", async () => {
    const { code, stderr } = await runCli(["follow", "nothing", ...store]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/nothing/);
  });
});
