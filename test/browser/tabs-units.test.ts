/** The parts of sharing among tabs that need no tab: what is sent, what may be run again, names. */
import { describe, expect, it } from "vitest";
import { storageNameFor } from "../../vfs/web/storage-name.ts";
import { pack, unpack } from "../../vfs/web/tabs/pack.ts";
import { Inbox, Outbox, type PartMessage } from "../../vfs/web/tabs/parts.ts";
import { isReadOnlySql } from "../../vfs/web/tabs/read-only-sql.ts";

describe("what is packed", () => {
  it("comes out as it went in", () => {
    const value = {
      nothing: [undefined, null],
      flags: [true, false],
      numbers: [0, -0, 1.5, -1e300, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53],
      big: [2n ** 63n - 1n, -(2n ** 63n), 0n],
      texts: ["", "é\u{feff}\u{1f4c4}", "\ufeffmark", "x".repeat(100_000)],
      bytes: [new Uint8Array(0), Uint8Array.of(0, 255, 7)],
      nested: { "": { a: [] } },
    };
    expect(unpack(pack(value))).toEqual(value);
    expect(Object.keys(unpack(pack(JSON.parse('{"__proto__": 1}'))) as object)).toEqual(["__proto__"]);
  });

  it("is an error where it is cut off, or longer, or none of ours", () => {
    const bytes = pack({ a: [1, "two", 3n, Uint8Array.of(4)] });
    for (let length = 0; length < bytes.length; length++)
      expect(() => unpack(bytes.slice(0, length))).toThrow("cannot be read");
    expect(() => unpack(Uint8Array.of(...bytes, 0))).toThrow("cannot be read");
    expect(() => unpack(Uint8Array.of(99))).toThrow("cannot be read");
    expect(() => pack({ f: () => {} })).toThrow("a function among them");
  });
});

describe("a value in parts", () => {
  /** Two sides whose messages are delivered one by one. */
  function sides() {
    const toReceiver: PartMessage[] = [];
    const toSender: PartMessage[] = [];
    return {
      outbox: new Outbox((message) => toReceiver.push(message)),
      inbox: new Inbox((message) => toSender.push(message)),
      toReceiver,
      toSender,
    };
  }

  it("is under way in a window that moves as it arrives", async () => {
    const { outbox, inbox, toReceiver, toSender } = sides();
    const value = new Uint8Array(3_000_000).map((_, i) => i % 251);
    let received: Promise<unknown> | undefined;
    let isSent = false;
    outbox.send(
      7,
      value,
      (body) => {
        received = inbox.value(7, body);
      },
      () => {
        isSent = true;
      },
    );
    let most = 0;
    while (toReceiver.length > 0) {
      most = Math.max(most, toReceiver.length);
      const part = toReceiver.shift();
      if (part?.kind === "part") inbox.part(part.id, part.bytes);
      for (const ack of toSender.splice(0)) outbox.acknowledged(ack.id);
    }
    expect(most).toBe(4);
    expect(isSent).toBe(true);
    // Element by element it would take ten seconds.
    expect(Buffer.compare((await received) as Uint8Array, value)).toBe(0);
  });

  it("that nobody wants any more is not sent to its end", () => {
    const { outbox, toReceiver } = sides();
    outbox.send(1, "x".repeat(3_000_000), () => {});
    outbox.cancel(1);
    outbox.acknowledged(1);
    expect(toReceiver).toHaveLength(4);
  });

  it("is whole where it is small", () => {
    const { outbox, toReceiver } = sides();
    outbox.send(1, { a: [1] }, (body) => expect(body).toEqual({ whole: { a: [1] } }));
    expect(toReceiver).toEqual([]);
  });
});

it("only what plainly reads may be run again", () => {
  for (const sql of [
    "SELECT 1",
    "  -- why\n /* and how */ select * from t;  ",
    "VALUES (1)",
    "WITH c AS (SELECT 1) SELECT * FROM c",
    "EXPLAIN QUERY PLAN DELETE FROM t",
  ])
    expect(isReadOnlySql(sql), sql).toBe(true);
  for (const sql of [
    "INSERT INTO t VALUES (1) RETURNING a",
    "WITH c AS (SELECT 1) DELETE FROM t",
    "WITH c AS (SELECT '--') INSERT INTO t SELECT * FROM c",
    "SELECT 1; DELETE FROM t",
    "/* SELECT */ DELETE FROM t",
    "PRAGMA pagefold_push",
    "BEGIN",
    "",
    "SELECTED",
  ])
    expect(isReadOnlySql(sql), sql).toBe(false);
});

it("a storage's name is the address and the tag, and no two of them share one", () => {
  const name = storageNameFor("https://data.example.org:8443/stores/a/", "notes");
  expect(name).toMatch(/^data\.example\.org/);
  expect(storageNameFor("https://data.example.org:8443/stores/a", "notes")).toBe(name);
  const others = [
    ["https://data.example.org:8443/stores/a", "notes_2"],
    ["https://data.example.org:8443/stores/a/notes", "2"],
    ["https://data.example.org:8443/stores/a", "notes-2"],
    ["https://data.example.org/stores/a", "notes"],
    ["https://data.example.org:8443/stores/a?v=1", "notes"],
    [`https://data.example.org/${"long/".repeat(80)}a`, "notes"],
    [`https://data.example.org/${"long/".repeat(80)}b`, "notes"],
  ] as const;
  const names = [name, ...others.map(([url, tag]) => storageNameFor(url, tag))];
  expect(new Set(names).size).toBe(names.length);
  for (const each of names) expect(each).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/);
});
