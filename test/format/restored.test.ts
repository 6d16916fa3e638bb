/** Commits that restore an older state, and the rollups over them: pages go back to older writers, in any run and in any grouping. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, PageCount } from "../../src/base/brand.ts";
import { ByteReader, ByteWriter, corruptError } from "../../src/format/bytes.ts";
import { headerProblem } from "../../src/format/commit-check.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { readHeader, writeHeader } from "../../src/format/commit-header.ts";
import { touchedPageCount, touchedPages } from "../../src/format/commit-pages.ts";
import { bandInterval, trailingPowers } from "../../src/format/jumps.ts";
import { RESTORED, SHORT_BANDS } from "../../src/format/limits.ts";
import type { CommitHeader, PageWriter, Rollup } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import {
  decodeRollup,
  encodeRollup,
  mergeRollups,
  remainingOf,
  rollupOfCommit,
} from "../../src/format/rollup-codec.ts";
import { readWriters, writeWriters } from "../../src/format/writers-codec.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  property,
  sampleCommit,
  smallPageSet,
  someHash,
} from "./support.ts";

const sample = await sampleCommit();

/** What a commit does: it writes some pages, after a cut; or brings the state of an earlier LSN back (and may write on top of that). */
interface Change {
  readonly pages: PageSet;
  readonly pageCount: number;
  readonly lowest: number;
  /** Where it is a restore: of which LSN, in hundredths of those there are. */
  readonly back: number | undefined;
}

interface Made {
  readonly header: CommitHeader;
  readonly rollup: Rollup;
  /** Page -> last writer, after it. */
  readonly table: ReadonlyMap<number, number>;
}

function history(changes: readonly Change[]): Made[] {
  const made: Made[] = [];
  const tableAt = (lsn: number) => (lsn === 0 ? new Map<number, number>() : made[lsn - 1]!.table);
  changes.forEach((change, i) => {
    const lsn = (i + 1) as Lsn;
    const before = tableAt(i);
    const from = change.back === undefined ? undefined : Math.floor((change.back * (i + 1)) / 100);
    const target = from === undefined ? undefined : tableAt(from);
    const pageCount =
      from === undefined ? change.pageCount : from === 0 ? 0 : made[from - 1]!.header.pageCount;
    const lowest = Math.min(change.lowest, pageCount);
    const table = new Map([...before].filter(([page]) => page <= lowest));
    const written = from === undefined ? change.pages.clampTo(pageCount) : PageSet.empty;
    const half = written.slice(0, Math.floor(written.size / 2));
    const gone = [...table.keys()].filter((page) => target !== undefined && !target.has(page));
    const back = new Map<number, number[]>();
    for (const [page, writer] of target ?? []) {
      if (table.get(page) !== writer) back.set(writer, [...(back.get(writer) ?? []), page]);
    }
    const restored = [...back]
      .sort(([a], [b]) => b - a)
      .map(([writer, pages]) => ({
        lsn: writer as Lsn,
        // Of every third, whoever restored it did not know the hash.
        hash: (writer + i) % 3 === 0 ? undefined : someHash(writer),
        pages: PageSet.of(pages),
      }));
    const header: CommitHeader = {
      ...sample.header,
      features: { compatible: 0, incompatible: from === undefined ? 0 : RESTORED },
      lsn,
      pageCount: pageCount as PageCount,
      lowestPageCount: lowest as PageCount,
      changed: half,
      zeroed: written.subtract(half).union(PageSet.of(gone)),
      restoredFrom: from as Lsn | undefined,
      restored,
    };
    for (const page of [...header.changed, ...header.zeroed]) table.set(page, lsn);
    for (const { lsn: writer, pages } of restored) for (const page of pages) table.set(page, writer);
    made.push({ header, rollup: rollupOfCommit(header, someHash(lsn)), table });
  });
  return made;
}

const changes = fc.array(
  fc.record({
    pages: smallPageSet(60),
    pageCount: fc.integer({ min: 0, max: 70 }),
    lowest: fc.integer({ min: 0, max: 70 }),
    back: fc.oneof(fc.constant(undefined), fc.integer({ min: 0, max: 99 })),
  }),
  { minLength: 1, maxLength: 20 },
);

function applyTo(table: Map<number, number>, rollup: Rollup): void {
  for (const page of table.keys()) if (page > rollup.lowestPageCount) table.delete(page);
  for (const { lsn, pages } of rollup.writers) for (const page of pages) table.set(page, lsn);
}

const tableAt = (made: readonly Made[], lsn: number) => (lsn === 0 ? new Map() : made[lsn - 1]!.table);

/** A rollup, applied to the state before its run, gives the state after it; and says so in its bytes. */
function expectRight(rollup: Rollup, made: readonly Made[]): void {
  const decoded = decodeRollup(encodeRollup(rollup), rollup);
  expect(decoded).toEqual(rollup);
  const table = new Map<number, number>(tableAt(made, rollup.from));
  applyTo(table, decoded);
  const { pageCount } = made[rollup.to - 1]!.header;
  for (const page of table.keys()) if (page > pageCount) table.delete(page);
  expect([...table].sort(([a], [b]) => a - b)).toEqual(
    [...tableAt(made, rollup.to)].filter(([page]) => page <= pageCount).sort(([a], [b]) => a - b),
  );
  const lsns = rollup.writers.map(({ lsn }) => lsn);
  expect(lsns).toEqual([...new Set(lsns)].sort((a, b) => b - a));
  for (const { lsn, hash } of rollup.writers) expect([undefined, someHash(lsn)]).toContain(hash);
}

describe("rollups over commits that restore", () => {
  it("merging, in any grouping, equals applying commit by commit", () => {
    let older = 0;
    property(
      fc.tuple(changes, fc.array(fc.nat(100), { minLength: 20, maxLength: 20 })),
      ([list, picks]) => {
        const made = history(list);
        const rollups = made.map(({ rollup }) => rollup);
        for (const rollup of rollups) expectRight(rollup, made);
        for (let k = 0; rollups.length > 1; k++) {
          const at = picks[k]! % (rollups.length - 1);
          const merged = mergeRollups(rollups[at]!, rollups[at + 1]!);
          rollups.splice(at, 2, merged);
          expectRight(merged, made);
          if (merged.writers.some(({ lsn }) => lsn <= merged.from)) older++;
        }
      },
      150,
    );
    expect(older).toBeGreaterThan(50);
  });

  it("bands, of which each leaves out what newer ones say, give every run together", () => {
    property(
      changes,
      (list) => {
        const made = history(list);
        const whole = (from: number, to: number) =>
          made
            .slice(from, to)
            .map(({ rollup }) => rollup)
            .reduce((older, newer) => mergeRollups(older, newer));
        for (let lsn = 1; lsn <= list.length; lsn++) {
          let newer = made[lsn - 1]!.rollup;
          for (let j = 1; j <= trailingPowers(lsn); j++) {
            const { from, to } = bandInterval(lsn as Lsn, j);
            const band = remainingOf(whole(from, to), newer);
            const seen = new Set(newer.writers.flatMap(({ pages }) => [...pages]));
            for (const { pages } of band.writers) {
              for (const page of pages) {
                expect(seen.has(page)).toBe(false);
                expect(page).toBeLessThanOrEqual(newer.lowestPageCount);
              }
            }
            newer = mergeRollups(band, newer);
            expectRight(newer, made);
          }
        }
      },
      60,
    );
  });

  it("of two that restore pages of one commit, the hash is known where either knew it", () => {
    const one = (lsn: number, hash: PageWriter["hash"], page: number): Rollup => ({
      from: (lsn - 1) as Lsn,
      to: lsn as Lsn,
      lowestPageCount: 9 as PageCount,
      writers: [{ lsn: 3 as Lsn, hash, pages: PageSet.of([page]) }],
    });
    for (const [older, newer] of [
      [undefined, someHash(3)],
      [someHash(3), undefined],
    ] as const) {
      const { writers } = mergeRollups(one(7, older, 1), one(8, newer, 2));
      expect(writers).toEqual([{ lsn: 3, hash: someHash(3), pages: PageSet.of([1, 2]) }]);
    }
  });
});

const restored: PageWriter[] = [
  { lsn: 3 as Lsn, hash: someHash(3), pages: PageSet.of([4, 7]) },
  { lsn: 1 as Lsn, hash: undefined, pages: PageSet.range(5, 6) },
];
const restoring = (header: CommitHeader): CommitHeader => ({
  ...header,
  features: { compatible: 0, incompatible: RESTORED },
  restoredFrom: 3 as Lsn,
  restored,
});
const shortened =
  (count: number) =>
  (header: CommitHeader): CommitHeader => ({
    ...header,
    features: { ...header.features, incompatible: header.features.incompatible | SHORT_BANDS },
    bands: header.bands.slice(0, count),
    jumpHashes: header.jumpHashes.slice(0, count + 1),
  });

describe("lists of writers", () => {
  it("round-trip; decoding is total, and every encoding is the only one", () => {
    const writer = new ByteWriter();
    writeWriters(writer, restored, 5);
    const valid = writer.finish();
    const decode = (bytes: Uint8Array) => {
      const reader: ByteReader = new ByteReader(bytes, "a list");
      const writers = readWriters(reader, 5, { maxPage: 100 });
      reader.end();
      return writers;
    };
    expect(decode(valid)).toEqual(restored);
    expectTotal(
      (bytes) => {
        const again = new ByteWriter();
        writeWriters(again, decode(bytes), 5);
        expect(again.finish()).toEqual(bytes);
      },
      [valid],
    );
    const low = new ByteWriter().varint(1).varint(5).finish();
    expect(() => decode(Uint8Array.from([...low, ...new Uint8Array(40)]))).toThrow(/before the first commit/);
    expect(() => decode(new ByteWriter().varint(6).finish())).toThrow(/number of writers/);
  });
});

describe("commits with restored pages, and with fewer bands", () => {
  it("round-trip as objects; every damage is noticed", async () => {
    const samples = [
      await sampleCommit({ change: restoring }),
      await sampleCommit({ lsn: 16, change: shortened(0) }),
      await sampleCommit({ lsn: 16, apartFrom: 2, change: shortened(3) }),
      await sampleCommit({ lsn: 8, change: (header) => shortened(1)(restoring(header)) }),
      // Nothing but a cut and pages that are gone.
      await sampleCommit({
        change: (header) => ({ ...restoring(header), restored: [], restoredFrom: 0 as Lsn }),
      }),
    ];
    for (const { header, bytes, hash } of samples) {
      const commit = decodeCommit(bytes, codecs.hash, { hash });
      expect(commit.header).toEqual(header);
      expect(commit.totalLength).toBe(bytes.length);
      expect(commit.bandExtents.length + commit.apartBandExtents.length).toBe(header.bands.length);
      expectTotal((broken) => decodeCommit(broken, codecs.hash), [bytes]);
    }
    const { bytes, hash } = samples[3]!;
    const { headerLength } = decodeCommit(bytes, codecs.hash);
    expectEveryDamageNoticed(bytes.slice(0, headerLength), (broken) => {
      decodeCommit(broken, codecs.hash, { hash });
      if (broken.length !== headerLength) throw corruptError("a header", "its length");
    });
  });

  it("say what they touched", () => {
    const header = restoring(sample.header);
    expect([...touchedPages(header)]).toEqual([1, 2, 3, 4, 5, 6, 7, 9, 12, 13]);
    expect(touchedPageCount(header)).toBe(10);
    expect(touchedPageCount(sample.header)).toBe(6);
    const { writers } = rollupOfCommit(header, someHash(4));
    expect(writers.map(({ lsn }) => lsn)).toEqual([4, 3, 1]);
  });

  const header = restoring(sample.header);
  const back = (writers: readonly PageWriter[]) => ({ ...header, restored: writers });
  it.each<[string, CommitHeader, RegExp]>([
    ["the bit without an LSN", { ...header, restoredFrom: undefined, restored: [] }, /feature bit/],
    ["an LSN without the bit", { ...header, features: sample.header.features }, /feature bit/],
    ["pages without both", { ...sample.header, restored }, /restored from no LSN/],
    ["its own LSN", { ...header, restoredFrom: 4 as Lsn }, /LSN 4 restored at LSN 4/],
    ["a writer after the LSN restored", { ...header, restoredFrom: 2 as Lsn }, /LSN 3 restored out of order/],
    ["writers out of order", back([...restored].reverse()), /LSN 3 restored out of order/],
    ["a writer twice", back([restored[0]!, restored[0]!]), /LSN 3 restored out of order/],
    ["a writer at LSN 0", back([{ ...restored[1]!, lsn: 0 as Lsn }]), /LSN 0 restored out of order/],
    ["no pages", back([{ ...restored[0]!, pages: PageSet.empty }]), /no pages of LSN 3/],
    ["a page beyond the end", back([{ ...restored[0]!, pages: PageSet.of([15]) }]), /page 15 of 14/],
    ["a page also changed", back([{ ...restored[0]!, pages: PageSet.of([9]) }]), /both restored and/],
    ["a page also zeroed", back([{ ...restored[0]!, pages: PageSet.of([13]) }]), /both restored and/],
    ["a page of two writers", back(restored.map((w) => ({ ...w, pages: PageSet.of([5]) }))), /both restored/],
    [
      "fewer bands without the bit",
      { ...shortened(1)(header), features: header.features },
      /1 bands at LSN 4/,
    ],
    ["the bit and all bands", shortened(2)(header), /2 bands at LSN 4/],
    ["a jump hash too many", { ...shortened(1)(header), jumpHashes: header.jumpHashes }, /3 jump hashes/],
  ])("refused: %s", (_, wrong, expected) => {
    expect(headerProblem(wrong)).toMatch(expected);
  });

  it("headers of any shape round-trip", () => {
    const headers = fc
      .record({
        parts: fc.array(smallPageSet(), { maxLength: 5 }),
        known: fc.boolean(),
        from: fc.integer({ min: 0, max: 63 }),
        bands: fc.integer({ min: 0, max: 6 }),
      })
      .map(({ parts, known, from, bands }): CommitHeader => {
        let taken = sample.header.changed.union(sample.header.zeroed);
        const writers: PageWriter[] = [];
        for (const [i, part] of parts.entries()) {
          const pages = part.subtract(taken);
          const lsn = (from - 2 * i) as Lsn;
          if (pages.isEmpty || lsn < 1) continue;
          taken = taken.union(pages);
          writers.push({ lsn, hash: known ? someHash(lsn) : undefined, pages });
        }
        return {
          ...sample.header,
          lsn: 64 as Lsn,
          features: { compatible: 0, incompatible: RESTORED | (bands < 6 ? SHORT_BANDS : 0) },
          jumpHashes: Array.from({ length: bands + 1 }, (__, j) => someHash(j)),
          bands: Array.from({ length: bands }, (__, j) => ({ length: 5, hash: someHash(j), apart: j > 2 })),
          pageCount: 400 as PageCount,
          byteLength: 400 * 512,
          restoredFrom: from as Lsn,
          restored: writers,
        };
      });
    property(headers, (given) => {
      expect(headerProblem(given)).toBeUndefined();
      const reader: ByteReader = new ByteReader(writeHeader(given), "a commit");
      expect(readHeader(reader, {}, {})).toEqual(given);
      reader.end();
    });
  });
});
