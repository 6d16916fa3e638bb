/** Whatever is asked, and however: an answer of the protocol, never a failure of the server, and nothing is stored that was not meant to be. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { testSeed } from "../local/xxh64.ts";
import { codecs, contentOf, request, Site, world } from "./support.ts";

const made = await world({ bytes: 300_000, commits: 3 });
const keys = [...(await contentOf(made.remote)).keys()];

const word = fc.oneof(
  fc.constantFrom(
    "v1",
    "v2",
    "volumes",
    "tags",
    "docs",
    "open",
    "list",
    "events",
    "commits",
    "pages",
    "diff",
    "forks",
    "delete",
    "notice",
    "probe",
  ),
  fc.constantFrom(
    made.id,
    "manifest",
    "head",
    "segments",
    "..",
    "%2e%2e",
    "%00",
    "%",
    "fffffffffffffffe",
    "ffffffffffffffff",
    "__proto__",
    "",
  ),
  fc.string({ maxLength: 20 }),
);
const path = fc.oneof(
  fc
    .array(word, { maxLength: 6 })
    .map((words) => `/${words.map((each) => each.replace(/[#?\\]/g, "")).join("/")}`),
  fc.constantFrom(...keys.map((key) => `/${key}`)),
);
const query = fc.oneof(
  fc.constant(""),
  fc
    .dictionary(
      fc.constantFrom("prefix", "after", "limit", "from", "to", "bodies", "headers", "volume", "confirm"),
      fc.oneof(
        fc.nat().map(String),
        fc.constantFrom("docs", made.id, "-1", "1e3", "NaN", "docs@1", "../x"),
        fc.string({ maxLength: 12 }),
      ),
    )
    .map((parameters) => `?${new URLSearchParams(parameters)}`),
);
const headers = fc.dictionary(
  fc.constantFrom(
    "range",
    "if-none-match",
    "if-range",
    "last-event-id",
    "content-length",
    "content-type",
    "authorization",
    "accept-encoding",
  ),
  fc.oneof(
    fc.constantFrom(
      "*",
      "bytes=0-",
      "bytes=5-1",
      "bytes=-5",
      "bytes=0-99999999999",
      "bytes=1-2,3-4",
      "0",
      "999999999999999",
      "gzip",
      "application/json",
      "Bearer x",
    ),
    fc.stringMatching(/^[ -~]{0,20}$/),
  ),
);
const body = fc.oneof(
  fc.constant(undefined),
  fc.json(),
  fc.uint8Array({ maxLength: 200 }),
  fc.constantFrom(
    '{"pages":[[1,2]]}',
    '{"keys":["a/b"]}',
    '{"volume":"x"}',
    '{"tag":"","pageSize":1e99}',
    "PFB1",
  ),
);
const method = fc.constantFrom("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS");

/** What a store holds, by key, short enough to be compared often. */
async function fingerprints(store: ObjectStore): Promise<string[]> {
  return [...(await contentOf(store))].map(([key, bytes]) => `${key} ${codecs.hash.blake3(bytes)}`);
}

describe("robustness", () => {
  it("any request has an answer", async () => {
    await fc.assert(
      fc.asyncProperty(method, path, query, headers, body, async (verb, where, asked, sent, content) => {
        const site = new Site(made.remote.clone());
        let call: Request;
        try {
          const carries = verb !== "GET" && verb !== "HEAD" && content !== undefined;
          call = request(verb, `${where}${asked}`, sent, carries ? content : undefined);
        } catch {
          // The platform itself takes no such address or header.
          return;
        }
        const answer = await site.app.fetch(call);
        expect(answer.status, `${verb} ${where}${asked}`).toBeLessThan(500);
        if (answer.status >= 400 && verb !== "HEAD") {
          expect(answer.headers.get("content-type")).toBe("application/problem+json");
          expect((await answer.json()) as object).toMatchObject({
            status: answer.status,
            code: expect.any(String),
            detail: expect.any(String),
          });
        }
        expect(answer.headers.get("content-encoding")).toBeNull();
        await answer.body?.cancel().catch(() => {});
        await site.app.close();
      }),
      { seed: testSeed, numRuns: 400 },
    );
  });

  it("whatever is put under any key, readers of the volume notice nothing", async () => {
    const content = await fingerprints(made.remote);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...keys),
        fc.uint8Array({ maxLength: 300 }),
        fc.boolean(),
        async (key, bytes, conditional) => {
          const store = made.remote.clone();
          const site = new Site(store);
          const { status } = await site.call("PUT", `/${key}`, {
            body: bytes,
            headers: conditional ? { "if-none-match": "*" } : {},
          });
          expect(status).toBeGreaterThanOrEqual(400);
          expect(await fingerprints(store)).toEqual(content);
        },
      ),
      { seed: testSeed, numRuns: 60 },
    );
  });
});
