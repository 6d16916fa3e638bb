/** retention, gc and detach as users run them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as processes from "./cli.ts";
import { temporaryFolder } from "./cli.ts";
import { runCli, runJson } from "./either.ts";

/** A store with a volume "shop" of so many commits. */
async function shop(directory: string, commits: number): Promise<readonly string[]> {
  const store = ["--store", join(directory, "store")];
  const file = join(directory, "data.bin");
  for (let i = 1; i <= commits; i++) {
    await writeFile(file, Buffer.alloc(20_000, i));
    expect((await runCli(["import", file, "--tag", "shop", "--quiet", ...store])).code).toBe(0);
  }
  return store;
}

describe("pagefold retention and gc", () => {
  it("a policy is set and told, a dry run tells what goes, a collection deletes it", async () => {
    const folder = await temporaryFolder();
    try {
      const directory = folder.path;
      const store = await shop(directory, 4);
      const none = await runCli(["retention", "get", "shop", ...store]);
      expect(none.stderr).toContain("everything is kept");
      const set = await runCli([
        "retention",
        "set",
        "shop",
        "--all",
        "0s",
        "--keep",
        "2",
        "3",
        "--json",
        ...store,
      ]);
      expect(JSON.parse(set.stdout)).toMatchObject({ policy: { all: "0s", keep: [2, 3] }, n: 1 });
      expect(await runJson(["retention", "get", "shop", ...store])).toEqual(JSON.parse(set.stdout));

      const dry = await runCli(["gc", "shop", "--dry-run", ...store]);
      expect(dry.stdout).toContain("kept         2 (keep) 3 (keep) 4 (newest)");
      expect(dry.stdout).toContain("wouldDelete  3 commits");
      expect(dry.stderr).toContain("nothing was changed");
      const first = await processes.runCli(["gc", "shop", ...store]);
      expect(first.stdout).toMatch(/deleted +nothing/);
      expect(first.stderr).toMatch(/will go after \d{4}-/);
      expect(await runJson(["gc", "shop", "--grace", "0s", ...store])).toMatchObject({
        ...{ dryRun: false, floor: { before: 4, after: 4 }, deleted: { commits: 3 }, moreAt: null },
        kept: [{ lsn: 2, why: ["keep"] }, { lsn: 3 }, { lsn: 4, why: ["newest"] }],
      });
      const old = await runCli(["read", "shop", "--at", "3", ...store]);
      expect(Buffer.compare(old.bytes, Buffer.alloc(20_000, 3))).toBe(0);
      const gone = await runCli(["read", "shop", "--at", "1", ...store]);
      expect(gone.code).toBe(1);
      expect(gone.stderr).toContain("the retention keeps everything from LSN 4 on");
    } finally {
      await folder.remove();
    }
  });

  it("mistakes are told before anything is opened, exit code 2", async () => {
    const store = ["--store", "/nowhere/at/all"];
    const mistakes: [string[], string][] = [
      [["retention", "set", "shop"], "say what to keep"],
      [["retention", "set", "shop", "--everything", "--all", "2h"], "leaves nothing to drop"],
      [["gc", "shop", "--grace", "soon"], "soon"],
    ];
    for (const [args, message] of mistakes) {
      const { code, stderr } = await runCli([...args, ...store]);
      expect(stderr).toContain(message);
      expect(code).toBe(2);
    }
  });
});
