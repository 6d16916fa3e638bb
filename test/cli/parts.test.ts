/** The parts of the command that need no store. */
import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { bytesText } from "../../server/bytes-text.ts";
import { failureOf, failureText } from "../../server/cli/errors.ts";
import { checksumText, toJson } from "../../server/cli/json.ts";
import { count, defined, pageSize, positive } from "../../server/cli/options.ts";
import { facts } from "../../server/cli/output.ts";
import { Progress } from "../../server/cli/progress.ts";
import { cellText, table } from "../../server/cli/table.ts";
import { abortedError, PagefoldError } from "../../src/base/errors.ts";

describe("numbers", () => {
  it("are digits only", () => {
    expect(count("0")).toBe(0);
    expect(count("9007199254740991")).toBe(9007199254740991);
    for (const bad of [
      "",
      " 1",
      "1 ",
      "12abc",
      "1e3",
      "0x10",
      "-1",
      "+1",
      "1.0",
      "٣",
      "9007199254740992",
      "NaN",
    ]) {
      expect(() => count(bad), bad).toThrow("whole number");
    }
    expect(() => positive("0")).toThrow("from 1");
  });

  it("a page size is a power of two within its limits", () => {
    expect(pageSize("512")).toBe(512);
    expect(pageSize("1048576")).toBe(1048576);
    for (const bad of ["0", "256", "1000", "4095", "2097152"])
      expect(() => pageSize(bad), bad).toThrow("power of two");
  });
});

describe("json", () => {
  it("says what JSON cannot", () => {
    expect(
      toJson([
        1n,
        2n ** 62n,
        -(2n ** 63n),
        1.5,
        Number.POSITIVE_INFINITY,
        new Uint8Array([0, 255]),
        null,
        "é",
      ]),
    ).toEqual([
      1,
      { $integer: "4611686018427387904" },
      { $integer: "-9223372036854775808" },
      1.5,
      { $real: "Infinity" },
      { $blob: "AP8=" },
      null,
      "é",
    ]);
  });

  it("a checksum has 32 digits", () => {
    expect(checksumText(255n)).toBe("000000000000000000000000000000ff");
  });

  it("absent options stay absent", () => {
    expect(Object.keys(defined({ a: undefined, b: 0, c: "" }))).toEqual(["b", "c"]);
  });
});

describe("text", () => {
  it("a table aligns numbers right and text left, and keeps one line per row", () => {
    const text = table(
      ["id", "name"],
      [
        [1, "a\nb"],
        [20n, null],
        [null, "\u001b[31mred\u0085"],
      ],
    );
    expect(text.split("\n")).toEqual([
      "  id  name",
      "----  -------------------",
      "   1  a\\nb",
      "  20  NULL",
      "NULL  \\u001b[31mred\\u0085",
    ]);
  });

  it("cells show blobs, and rows may be none", () => {
    expect(cellText(new Uint8Array([1, 171]))).toBe("x'01ab'");
    expect(cellText(new Uint8Array(1000))).toContain("(1000 bytes)");
    expect(table(["a"], [])).toBe("a\n-");
    expect(table([], [])).toBe("");
  });

  it("facts align, sizes are short", () => {
    expect(facts({ lsn: 1, pageCount: 20, gone: undefined })).toBe("lsn        1\npageCount  20");
    expect([0, 1023, 1536, 150 * 1024, 3 * 1024 ** 3].map(bytesText)).toEqual([
      "0 B",
      "1023 B",
      "1.5 KB",
      "150 KB",
      "3.0 GB",
    ]);
  });
});

describe("progress", () => {
  const onTerminal = (isTTY: boolean) => {
    const written: string[] = [];
    return { isTTY, columns: 100, written, write: (text: string) => written.push(text) };
  };

  it("appears only on a terminal and only when the work is long", () => {
    for (const [isTTY, quiet, expected] of [
      [true, false, 2],
      [false, false, 0],
      [true, true, 0],
    ] as const) {
      let now = 0;
      const target = onTerminal(isTTY);
      const progress = new Progress("import", "bytes", { quiet, target, now: () => now });
      for (now = 0; now <= 600; now += 50) progress.update(now * 1000, 1_000_000);
      expect(target.written.length).toBe(expected);
      progress.end();
      expect(target.written.length).toBe(expected === 0 ? 0 : expected + 1);
    }
  });

  it("tells share, amount, rate and what is left, cut to the width of the terminal", () => {
    const progress = new Progress("hydrate", "pages", {
      quiet: false,
      target: onTerminal(true),
      now: () => 0,
    });
    const line = progress.line(500, 1000, 1000);
    expect(line).toContain("50 %");
    expect(line).toContain("500 pages of 1000 pages");
    expect(line).toContain("1 s left");
    expect(progress.line(500, 0, 1000)).toContain("500 pages/s");
    const narrow = new Progress("hydrate", "pages", {
      quiet: false,
      target: { ...onTerminal(true), columns: 30 },
    });
    expect(narrow.line(1, 2, 3).length).toBeLessThan(30);
  });
});

describe("failures", () => {
  it("become exit codes: 1 failed, 2 misused, 128 + signal interrupted", () => {
    expect(failureOf(new PagefoldError("not_found", "no such tag"), undefined)).toMatchObject({
      exitCode: 1,
      code: "not_found",
    });
    expect(failureOf(new PagefoldError("invalid", "no"), undefined)).toMatchObject({
      exitCode: 2,
      code: "invalid",
    });
    expect(failureOf(new CommanderError(1, "commander.x", "error: bad"), undefined)).toMatchObject({
      exitCode: 2,
      message: "bad",
    });
    expect(failureOf(abortedError("import"), 130)).toMatchObject({ exitCode: 130, code: "aborted" });
    expect(failureOf(abortedError("import"), undefined)).toMatchObject({ exitCode: 1, code: "aborted" });
    expect(failureOf(new TypeError("x is not a function"), undefined)).toMatchObject({
      exitCode: 1,
      code: "internal",
    });
    expect(failureOf("text", undefined)).toMatchObject({ exitCode: 1, message: "text" });
  });

  it("are one line for humans, one document for programs", () => {
    const failure = failureOf(
      new PagefoldError("corrupt", "bad frame", { details: { lsn: 3, size: 2n ** 60n } }),
      undefined,
    );
    expect(failureText(failure, false)).toBe("pagefold: corrupt: bad frame\n");
    expect(JSON.parse(failureText(failure, true))).toEqual({
      error: {
        code: "corrupt",
        message: "bad frame",
        retryable: false,
        details: { lsn: 3, size: { $integer: "1152921504606846976" } },
      },
    });
    expect(failureText(failureOf(new TypeError("oops"), undefined), false)).toMatch(
      /internal: oops\n.*bug[\s\S]*TypeError: oops/,
    );
  });
});
