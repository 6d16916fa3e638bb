/** A throw anywhere in JavaScript never crosses into wasm: it becomes a result code, the cause is kept, and the connection goes on. */
import { beforeAll, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import type { ViewSource } from "../../vfs/sqlite/view-source.ts";
import { overFamilies } from "./fake-bridge.ts";
import { FakeView } from "./fake-view.ts";
import { buildDatabase, openView, rowsOf } from "./sqlite.ts";

const COUNT = "SELECT count(*), sum(length(s)) FROM t";
const bug = new TypeError("a bug below SQLite");
let bytes: Uint8Array;

beforeAll(async () => {
  bytes =
    await buildDatabase(`PRAGMA page_size = 1024; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ti ON t(s);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
    INSERT INTO t SELECT i, 'row ' || i || hex(zeroblob(30)) FROM c`);
});

overFamilies("a throw while reading", (family) => {
  it("in a read: the cause is kept, the connection goes on", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection } = await openView(family, view);
    for (let at = 1; at < 40; at++) {
      let left = at;
      view.beforeRead = () => {
        if (--left === 0) throw bug;
      };
      const error = await connection.run(`PRAGMA cache_size = 5; ${COUNT}`).catch((e: unknown) => e);
      expect(error).toMatchObject({ name: "PagefoldError", code: "unavailable", cause: bug });
    }
    view.beforeRead = () => {};
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
  });

  it("in the source of views, when a lock is taken, when it is given back, when the file is closed", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    let failing: "acquire" | "release" | undefined;
    const source: ViewSource = {
      current: view,
      acquire: () => {
        if (failing === "acquire") throw bug;
        return view;
      },
      release: () => {
        if (failing === "release") throw bug;
      },
    };
    const { connection, close } = await openView(family, source, { bytes });
    failing = "acquire";
    await expect(connection.run(COUNT)).rejects.toThrow(PagefoldError);
    failing = "release";
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
    failing = undefined;
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
    failing = "release";
    await close();
  });

  it("while opening: what resolve throws is what opening throws", async () => {
    const gone = new PagefoldError("not_found", "no such volume");
    const open = openView(family, new FakeView(bytes), {
      resolve: () => {
        throw gone;
      },
    });
    await expect(open).rejects.toBe(gone);
    await expect(openView(family, new FakeView(bytes), { resolve: () => undefined })).rejects.toMatchObject({
      code: "invalid",
    });
  });

  it("running out of the JavaScript stack inside a read", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection } = await openView(family, view);
    const deeper = (n: number): number => (n < 0 ? 0 : 1 + deeper(n + 1));
    view.beforeRead = () => void deeper(0);
    await expect(connection.run(COUNT)).rejects.toMatchObject({ cause: expect.any(RangeError) });
    view.beforeRead = () => {};
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
  });
});
