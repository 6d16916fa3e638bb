/** The bridge of synchronous requests, with a request that a test answers: what a host may say, and SQL through it. */
import { afterEach, describe, expect, it } from "vitest";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";
import { type SyncRequest, SyncXhrBridge, type SyncXhrBridgeOptions } from "../../vfs/bridge/sync-xhr.ts";
import { closeAll } from "./closers.ts";
import { FakeView } from "./fake-view.ts";
import { buildDatabase, memdbRows, openView, rowsOf } from "./sqlite.ts";

interface Asked {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}
type Answer = { readonly status: number; readonly body?: Uint8Array } | Error;

const asked: Asked[] = [];

/** A bridge whose requests `answer` answers. */
function bridgeWith(
  answer: (asked: Asked) => Answer,
  options: Partial<SyncXhrBridgeOptions> = {},
): SyncXhrBridge {
  asked.length = 0;
  const makeRequest = (): SyncRequest => {
    const headers: Record<string, string> = {};
    let url = "";
    const request = { responseType: "", status: 0, response: undefined as unknown };
    return Object.assign(request, {
      open: (method: string, to: string, asynchronous: boolean) => {
        expect([method, asynchronous]).toEqual(["GET", false]);
        url = to;
      },
      setRequestHeader: (name: string, value: string) => {
        headers[name] = value;
      },
      send: () => {
        expect(request.responseType).toBe("arraybuffer");
        asked.push({ url, headers });
        const answered = answer({ url, headers });
        if (answered instanceof Error) throw answered;
        request.status = answered.status;
        request.response = new Uint8Array(answered.body ?? []).buffer;
      },
    });
  };
  return new SyncXhrBridge({
    address: { baseUrl: "https://host.test/store/", headers: { "x-key": "k" } },
    makeRequest,
    ...options,
  });
}

function* plan(...requests: RangeRequest[]): FetchPlan<RangeAnswers> {
  return yield requests;
}

const RANGE: RangeRequest = { key: "volumes/a b/ü", offset: 5, length: 4 };
const BYTES = Uint8Array.from({ length: 20 }, (_, i) => i);
const run = (bridge: SyncXhrBridge): (Uint8Array | undefined)[] => [...bridge.run(plan(RANGE))];

describe("one range", () => {
  it("is asked for by address, key and range, and answered with its bytes, fewer at the end, or none", () => {
    expect(run(bridgeWith(() => ({ status: 206, body: BYTES.slice(5, 9) })))).toEqual([BYTES.slice(5, 9)]);
    expect(asked).toEqual([
      { url: "https://host.test/store/volumes/a%20b/%C3%BC", headers: { "x-key": "k", range: "bytes=5-8" } },
    ]);
    expect(run(bridgeWith(() => ({ status: 206, body: BYTES.slice(5, 6) })))).toEqual([BYTES.slice(5, 6)]);
    expect(run(bridgeWith(() => ({ status: 404 })))).toEqual([undefined]);
    expect(run(bridgeWith(() => ({ status: 416 })))).toEqual([new Uint8Array(0)]);
    // A host that ignores ranges.
    expect(run(bridgeWith(() => ({ status: 200, body: BYTES })))).toEqual([BYTES.slice(5, 9)]);
  });

  it("is asked for again where the host fails or is not reached, some times", () => {
    const answers: Answer[] = [
      new Error("no network"),
      { status: 503 },
      { status: 206, body: BYTES.slice(5, 9) },
    ];
    expect(run(bridgeWith(() => answers.shift()!))).toEqual([BYTES.slice(5, 9)]);
    const cause = new Error("no network");
    expect(() => run(bridgeWith(() => cause))).toThrow(
      expect.objectContaining({ code: "unavailable", retryable: true, cause, details: { key: RANGE.key } }),
    );
    expect(asked).toHaveLength(3);
    expect(() => run(bridgeWith(() => ({ status: 429 }), { attempts: 5 }))).toThrow(
      expect.objectContaining({ code: "unavailable", details: { key: RANGE.key, status: 429 } }),
    );
    expect(asked).toHaveLength(5);
  });

  it.each<[Answer, string]>([
    [{ status: 401 }, "unauthorized"],
    [{ status: 403 }, "forbidden"],
    [{ status: 400 }, "unavailable"],
    [{ status: 0 }, "unavailable"],
    [{ status: 206, body: BYTES }, "unavailable"],
  ])("that is answered with %o is %s at once", (answer, code) => {
    expect(() => run(bridgeWith(() => answer))).toThrow(expect.objectContaining({ code, retryable: false }));
    expect(asked).toHaveLength(1);
  });

  it("is not asked for once its statement is to end", () => {
    let left = 1;
    const bridge = bridgeWith(() => ({ status: 206, body: BYTES.slice(0, 4) }), {
      interrupted: () => left-- <= 0,
    });
    expect(() => bridge.run(plan(RANGE, RANGE, RANGE))).toThrow(expect.objectContaining({ code: "aborted" }));
    expect(asked).toHaveLength(1);
  });
});

describe("SQL", () => {
  afterEach(closeAll);

  it("reads through it, and a host that fails is told as the cause", async () => {
    const bytes = await buildDatabase(
      "PRAGMA page_size = 4096; CREATE TABLE t(a, b); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO t SELECT i, hex(zeroblob(20)) FROM c",
    );
    let fails = false;
    const bridge = bridgeWith(({ url, headers }) => {
      if (fails) return { status: 403 };
      expect(url).toBe("https://host.test/store/database");
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
      return { status: 206, body: bytes.subarray(Number(from), Number(to) + 1) };
    });
    const view = new FakeView(bytes);
    const { connection } = await openView("blocking", view, { bridge });
    const sql = "SELECT count(*), sum(a), sum(length(b)) FROM t";
    expect(await rowsOf(connection, sql)).toEqual(await memdbRows(bytes, sql));
    expect(asked.length).toBe(view.pageCount);
    await connection.run("PRAGMA cache_size = 2; PRAGMA shrink_memory");
    view.resident.clear();
    fails = true;
    await expect(connection.run(sql)).rejects.toMatchObject({ code: "forbidden", details: { status: 403 } });
    fails = false;
    expect(await rowsOf(connection, sql)).toEqual(await memdbRows(bytes, sql));
  });
});
