/** What goes wrong below SQLite comes out as it went in, nothing ever crosses into wasm as an exception, and the connection goes on. */
import { beforeAll, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import type { ViewSource } from "../../vfs/sqlite/view-source.ts";
import { FakeView } from "./fake-view.ts";
import { buildDatabase, loadSqlite, openView, seeded } from "./sqlite.ts";

const seed = Number(process.env.PAGEFOLD_TEST_SEED ?? 42);
const COUNT = "SELECT count(*), sum(length(s)) FROM t";
let bytes: Uint8Array;

beforeAll(async () => {
  bytes =
    await buildDatabase(`PRAGMA page_size = 1024; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ti ON t(s);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
    INSERT INTO t SELECT i, 'row ' || i || hex(zeroblob(30)) FROM c`);
});

/** A statement that leaves nothing on the wasm stack, however it ends. */
async function stackPointer(): Promise<number> {
  const { wasm } = await loadSqlite();
  const mark = wasm.pstack.pointer as unknown as number;
  return mark;
}

const code = (code: string): unknown => expect.objectContaining({ name: "PagefoldError", code });

describe("a fault that fails", () => {
  for (const kind of ["unavailable", "corrupt", "unauthorized", "quota", "aborted"] as const) {
    it(`${kind}: the query ends with that very error, the next one works`, async () => {
      const view = new FakeView(bytes, { pageSize: 1024 });
      const { connection, bridge, close } = await openView(view);
      const failure = new PagefoldError(kind, `made to fail: ${kind}`, {
        details: { page: 7, key: "segments/x" },
      });
      bridge.beforeBatch = () => {
        if (bridge.batches.length > 20) throw failure;
      };
      let caught: unknown;
      try {
        connection.run(COUNT);
      } catch (error) {
        caught = error;
      }
      expect(caught).toBe(failure);
      bridge.beforeBatch = () => {};
      expect(connection.run(COUNT).rows).toEqual([[3000, expect.any(Number)]]);
      expect(connection.run("PRAGMA integrity_check").rows).toEqual([["ok"]]);
      close();
    });
  }

  it("at random places, hundreds of times: never wrong rows, never a broken connection", async () => {
    const random = seeded(seed);
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection, bridge, close } = await openView(view);
    connection.run("PRAGMA cache_size = 5");
    const expected = connection.run(COUNT).rows;
    const before = await stackPointer();
    let failures = 0;
    bridge.beforeBatch = () => {
      if (random() < 0.02) throw new PagefoldError("unavailable", "now and then");
    };
    for (let i = 0; i < 300; i++) {
      for (const page of view.resident.keys()) if (random() < 0.2) view.resident.delete(page);
      const key = 1 + Math.floor(random() * 3000);
      try {
        const sql = i % 3 === 0 ? COUNT : `SELECT i FROM t WHERE s = (SELECT s FROM t WHERE i = ${key})`;
        expect(connection.run(sql).rows).toEqual(i % 3 === 0 ? expected : [[key]]);
      } catch (error) {
        expect(error).toEqual(code("unavailable"));
        failures++;
      }
    }
    expect(failures, `seed ${seed}`).toBeGreaterThan(20);
    bridge.beforeBatch = () => {};
    expect(connection.run(COUNT).rows).toEqual(expected);
    expect(await stackPointer()).toBe(before);
    close();
  });

  it("a page that is evicted again and again before it can be read is quota, not an endless loop", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection, close } = await openView(view);
    view.beforeRead = () => view.resident.clear();
    expect(() => connection.run(COUNT)).toThrow(code("quota"));
    view.beforeRead = () => {};
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
  });
});

describe("a throw anywhere in JavaScript never crosses into wasm", () => {
  const bug = new TypeError("a bug below SQLite");

  it("in a read: the cause is kept, the connection goes on", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection, close } = await openView(view);
    for (let at = 1; at < 40; at++) {
      let left = at;
      view.beforeRead = () => {
        if (--left === 0) throw bug;
      };
      try {
        connection.run(`PRAGMA cache_size = 5; ${COUNT}`);
        expect.unreachable("the read that throws was never reached");
      } catch (error) {
        expect(error).toEqual(code("unavailable"));
        expect((error as Error).cause).toBe(bug);
      }
    }
    view.beforeRead = () => {};
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
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
    const { connection, close } = await openView(source, { bytes });
    failing = "acquire";
    expect(() => connection.run(COUNT)).toThrow(PagefoldError);
    failing = "release";
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    failing = undefined;
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    failing = "release";
    close();
  });

  it("while opening: what resolve throws is what opening throws", async () => {
    const gone = new PagefoldError("not_found", "no such volume");
    await expect(
      openView(new FakeView(bytes), {
        resolve: () => {
          throw gone;
        },
      }),
    ).rejects.toBe(gone);
    await expect(openView(new FakeView(bytes), { resolve: () => undefined })).rejects.toEqual(
      code("invalid"),
    );
  });

  it("running out of the JavaScript stack inside a read", async () => {
    const view = new FakeView(bytes, { pageSize: 1024 });
    const { connection, close } = await openView(view);
    const deeper = (n: number): number => (n < 0 ? 0 : 1 + deeper(n + 1));
    view.beforeRead = () => void deeper(0);
    expect(() => connection.run(COUNT)).toThrow(expect.objectContaining({ cause: expect.any(RangeError) }));
    view.beforeRead = () => {};
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
  });
});

describe("SQL that is refused", () => {
  it.each([
    "INSERT INTO t VALUES (1, 'x')",
    "UPDATE t SET s = 'x'",
    "DELETE FROM t",
    "CREATE TABLE u(a)",
    "DROP TABLE t",
    "PRAGMA user_version = 7",
    "VACUUM",
    "REINDEX",
  ])("%s: invalid, read-only here", async (sql) => {
    const { connection, close } = await openView(new FakeView(bytes, { pageSize: 1024 }));
    expect(() => connection.run(sql)).toThrow(
      expect.objectContaining({ code: "invalid", message: expect.stringMatching(/read-only here/) }),
    );
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
  });

  it.each([
    ["SELEC 1", /syntax error/],
    ["SELECT * FROM missing", /no such table: missing/],
    ["SELECT 1; SELECT nope", /no such column: nope/],
    ["SELECT 'a\0b'", /NUL/],
    ["ATTACH 'other.db' AS o", /other\.db/],
    ["VACUUM INTO 'copy.db'", /copy\.db/],
  ])("%s: invalid, with the reason", async (sql, message) => {
    const { connection, close } = await openView(new FakeView(bytes, { pageSize: 1024 }));
    expect(() => connection.run(sql)).toThrow(
      expect.objectContaining({ code: "invalid", message: expect.stringMatching(message) }),
    );
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
  });

  it("a malformed database is corrupt", async () => {
    const broken = bytes.slice();
    broken.fill(0xee, 1024, 4096);
    const { connection, close } = await openView(new FakeView(broken, { pageSize: 1024 }));
    expect(() => connection.run(COUNT)).toThrow(code("corrupt"));
    close();
  });

  it("a query that is interrupted is aborted, and the connection goes on", async () => {
    let stop = false;
    const { connection, close } = await openView(new FakeView(bytes, { pageSize: 1024 }), {
      interrupted: () => stop,
    });
    stop = true;
    const endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
    expect(() => connection.run(endless)).toThrow(code("aborted"));
    stop = false;
    expect(connection.run(COUNT).rows[0]?.[0]).toBe(3000);
    close();
    expect(() => connection.run(COUNT)).toThrow(code("closed"));
  });
});
