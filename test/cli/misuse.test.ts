/** Arguments that cannot be right: exit code 2, before anything is touched. */
import { describe, expect, it } from "vitest";
import { runCli } from "./cli.ts";
import { failJson } from "./either.ts";

const store = ["--store", "memory:"];

describe("misuse ends with 2 and says what is expected", () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["an unknown verb", ["frobnicate"], /unknown command/],
    ["an unknown option", ["tags", ...store, "--frobnicate"], /unknown option/],
    ["a missing argument", ["sql", ...store], /missing required argument 'name'/],
    ["one argument too many", ["tags", "extra", ...store], /too many arguments/],
    ["no store", ["tags"], /--store/],
    ["an empty store", ["tags", "--store", ""], /empty/],
    ["no tag", ["import", "file", ...store], /--tag/],
    ["no local directory", ["pull", "name", ...store], /--local/],
    ["a number with a tail", ["read", "name", "--offset", "12abc", ...store], /whole number/],
    ["a negative number", ["read", "name", "--offset", "-5", ...store], /whole number/],
    ["a fraction", ["read", "name", "--length", "1.5", ...store], /whole number/],
    ["a number too large", ["read", "name", "--offset", "9007199254740993", ...store], /whole number/],
    ["commit 0", ["export", "name", "out", "--lsn", "0", ...store], /from 1/],
    [
      "a page size that is no power of two",
      ["import", "file", "--tag", "t", "--page-size", "1000", ...store],
      /power of two/,
    ],
    [
      "a page size too small",
      ["import", "file", "--tag", "t", "--page-size", "256", ...store],
      /power of two/,
    ],
    [
      "a page size too large",
      ["import", "file", "--tag", "t", "--page-size", "2097152", ...store],
      /power of two/,
    ],
    ["no offset to write at", ["write", "name", ...store], /--offset/],
    [
      "--no-push without a local directory",
      ["write", "name", "--offset", "0", "--no-push", ...store],
      /--local/,
    ],
    ["an endpoint that is no address", ["tags", "--endpoint", "localhost", ...store], /http/],
    ["a store of no known kind", ["tags", "--store", "ftp://host/store"], /s3:|file:/],
    ["empty SQL on stdin", ["sql", "name", "-", ...store], /no SQL on stdin/],
    ["no SQL at all", ["sql", "name", ...store], /no SQL on stdin/],
    ["SQL that is a comment", ["sql", "name", "/* nothing */", ...store], /no SQL/],
    ["stdin twice", ["sql", "name", "-", "-f", "-", ...store], /stdin can be read once/],
    [
      "a mode that there is not",
      ["sql", "name", "SELECT 1", "--mode", "xml", ...store],
      /table, csv, json, line/,
    ],
    ["a time that is none", ["sql", "name", "SELECT 1", "--at", "noon", ...store], /2026-01-31T18:00:00Z/],
    ["an LSN and a time", ["sql", "name", "SELECT 1", "--at", "1", "--lsn", "1", ...store], /--lsn/],
    [
      "a new database to read only",
      ["sql", "name", "SELECT 1", "--create", "--read-only", ...store],
      /--read-only/,
    ],
    [
      "a new database that is kept nowhere",
      ["sql", "name", "SELECT 1", "--create", "--no-push", ...store],
      /--local/,
    ],
    ["a parameter that is no JSON", ["sql", "name", "SELECT ?", "--param-json", "x", ...store], /JSON/],
    ["a bridge that there is not", ["sql", "name", "SELECT 1", "--bridge", "ferry", ...store], /jspi/],
  ];
  for (const [what, args, message] of cases) {
    it(what, async () => {
      const failure = await failJson(args);
      expect(failure).toMatchObject({ exit: 2, code: "invalid" });
      expect(failure.message).toMatch(message);
    });
  }

  it("for people it is one line on stderr that points to the help", async () => {
    const { code, stdout, stderr } = await runCli(["read", "name", "--offset", "x", ...store]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^pagefold: invalid: .*whole number.*; see pagefold read --help\n$/);
  });

  it("nothing at all shows the help on stderr", async () => {
    const { code, stdout, stderr } = await runCli([]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("Usage: pagefold");
  });
});
