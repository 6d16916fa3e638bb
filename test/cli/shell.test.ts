/** The shell of `pagefold sql`, typed at through streams that stand for a terminal. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Output } from "../../server/cli/output.ts";
import { History } from "../../server/cli/sql/history.ts";
import { LineReader } from "../../server/cli/sql/line-reader.ts";
import { Shell } from "../../server/cli/sql/shell.ts";
import { SqlSession } from "../../server/cli/sql/sql-session.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import { until } from "./cli.ts";

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const UP = "\x1b[A";
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

let folder: string;
let store: { url: string; create: true };
const open: Terminal[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pagefold-shell-"));
  store = { url: join(folder, "store"), create: true };
});
afterEach(async () => {
  for (const terminal of open.splice(0)) await terminal.hangUp();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function database(name: string, options: DatabaseOptions = {}): Promise<Database> {
  return Database.open(store, name, {
    create: true,
    workerUrl: await bundleWorker("vfs/worker/node-worker.ts"),
    ...options,
  });
}

/** Another writer: runs SQL, pushes it, and is gone. */
async function elsewhere(name: string, sql: string): Promise<void> {
  const other = await database(name);
  await other.exec(sql);
  await other.push();
  await other.close();
}

interface TerminalOptions {
  readonly local?: string;
  readonly pushes?: boolean;
  readonly history?: History;
}

/** A shell, and somebody who types at it and reads what it shows. */
class Terminal {
  readonly database: Database;
  readonly #input = new PassThrough();
  readonly #stop = new AbortController();
  readonly #shell: Promise<unknown>;
  readonly #session: SqlSession;
  readonly #reader: LineReader;
  /** What the screen shows: echo, prompts, data and talk, in one stream as on a terminal. */
  screen = "";
  /** Rows alone. */
  data = "";
  #seen = 0;
  ended: { readonly error: unknown } | undefined;

  constructor(name: string, opened: Database, volume: string, options: TerminalOptions) {
    this.database = opened;
    const { local, pushes = true, history = new History(undefined, () => {}) } = options;
    const output = new Output({
      json: false,
      quiet: false,
      stdout: this.#stream(true),
      stderr: this.#stream(false),
    });
    this.#session = new SqlSession(opened, {
      volume,
      pullsBeforeWriting: local !== undefined && pushes,
      talk: (line) => output.talk(line),
    });
    this.#reader = new LineReader({ input: this.#input, output: this.#stream(false) }, history);
    const { signal } = this.#stop;
    signal.addEventListener("abort", () => this.#reader.close());
    const shell = new Shell({
      name,
      local,
      session: this.#session,
      reader: this.#reader,
      output,
      mode: "table",
      pushes,
      signal,
    });
    this.#shell = shell.run().then(
      () => {
        this.ended = { error: undefined };
      },
      (error: unknown) => {
        this.ended = { error };
      },
    );
    open.push(this);
  }

  static async at(name: string, options: TerminalOptions = {}): Promise<Terminal> {
    const { local } = options;
    const opened = await database(name, local === undefined ? {} : { local: { path: local } });
    const terminal = new Terminal(name, opened, (await opened.status()).volume, options);
    await terminal.shows("> ");
    return terminal;
  }

  /** Types `text`, and Enter. */
  enter(text: string): void {
    this.press(`${text}\r`);
  }

  press(keys: string): void {
    this.#input.write(keys);
  }

  /** Waits until `text` is shown after what was waited for before. */
  async shows(text: string): Promise<void> {
    try {
      await until(JSON.stringify(text), () => this.screen.includes(text, this.#seen));
    } catch (error) {
      throw new Error(`${(error as Error).message}; the screen shows:\n${this.screen}`);
    }
    this.#seen = this.screen.indexOf(text, this.#seen) + text.length;
  }

  /** Enters lines, waits for what the last of them shows, and answers the rows that were written. */
  async ask(lines: string, shown = "> "): Promise<string> {
    const before = this.data.length;
    this.enter(lines.replaceAll("\n", "\r"));
    await this.shows(shown);
    if (shown !== "> ") await this.shows("> ");
    return this.data.slice(before);
  }

  async end(): Promise<unknown> {
    await this.#shell;
    return this.ended?.error;
  }

  /** What a signal does to the process. */
  stop(): void {
    this.#stop.abort();
  }

  /** The window is closed. */
  async hangUp(): Promise<void> {
    this.#input.end();
    this.stop();
    await this.#shell;
    this.#reader.close();
    await this.database.close();
  }

  #stream(isData: boolean): PassThrough {
    const stream = new PassThrough();
    stream.on("data", (chunk: Buffer) => {
      const text = chunk.toString();
      // Cursor movements are for a real screen.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
      this.screen += text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "");
      if (isData) this.data += text;
    });
    return stream;
  }
}

describe("statements", () => {
  it("may span lines, and several may stand on one", async () => {
    const terminal = await Terminal.at("lines");
    terminal.enter("CREATE TABLE t(a, b); -- a comment");
    await terminal.shows("committed locally");
    terminal.enter("INSERT INTO t");
    await terminal.shows("  ...> ");
    terminal.enter("VALUES (1, 'x;");
    await terminal.shows("  ...> ");
    terminal.enter("y');");
    await terminal.shows("1 row changed, committed locally in");
    const rows = await terminal.ask("SELECT a, b FROM t; SELECT 2 AS n;", "1 row in");
    expect(rows).toBe("a  b\n-  -----\n1  x;\\ny\n\nn\n-\n2\n");
  });

  it("that fail are told, drop the rest of their line, and leave the shell and an open transaction as they were", async () => {
    const terminal = await Terminal.at("failing");
    terminal.enter("CREATE TABLE t(a UNIQUE); BEGIN; INSERT INTO t VALUES (1);");
    await terminal.shows("failing*> ");
    terminal.enter("INSERT INTO t VALUES (1); DELETE FROM t;");
    await terminal.shows("pagefold: invalid: SQL: UNIQUE constraint failed");
    await terminal.shows("failing*> ");
    expect(await terminal.ask("COMMIT; SELECT count(*) AS n FROM t;", "1 row in")).toBe("n\n-\n1\n");
    await terminal.ask("SELECT ?;", "statements have no parameters in the shell");
    await terminal.ask("SELEC;", 'near "SELEC"');
  });

  it("pasted at once run one after the other", async () => {
    const terminal = await Terminal.at("pasted");
    terminal.press(
      "CREATE TABLE t(a);\rINSERT INTO t VALUES (1), (2);\rSELECT sum(a) AS s FROM t;\r.mode csv\rSELECT a FROM t;\r",
    );
    await until("the last result", () => terminal.data.endsWith("a\r\n1\r\n2\r\n"));
    expect(terminal.data).toBe("s\n-\n3\na\r\n1\r\n2\r\n");
  });
});

describe("keys", () => {
  it("Ctrl-C drops what is typed, on this line and those before", async () => {
    const terminal = await Terminal.at("typed");
    terminal.enter("SELECT 'half");
    await terminal.shows("...> ");
    terminal.press(`more${CTRL_C}`);
    await terminal.shows("^C\n");
    await terminal.shows("typed> ");
    expect(await terminal.ask("SELECT 1 AS one;", "1 row")).toBe("one\n---\n  1\n");
  });

  it("Ctrl-C stops a statement that runs, and what was typed ahead of it; the shell goes on", async () => {
    const terminal = await Terminal.at("running");
    terminal.enter(`SELECT count(*) FROM (${endless});`);
    terminal.enter("SELECT 'typed ahead';");
    await new Promise((resolve) => setTimeout(resolve, 300));
    terminal.press(CTRL_C);
    await terminal.shows("pagefold: aborted");
    await terminal.shows("running> ");
    expect(await terminal.ask("SELECT 1 AS one;", "1 row")).toBe("one\n---\n  1\n");
    expect(terminal.data).not.toContain("typed ahead");
  });

  it("Ctrl-C among the rows of a query ends them, and the next statement writes", async () => {
    const terminal = await Terminal.at("streaming");
    await terminal.ask("CREATE TABLE t(a);", "committed locally");
    await terminal.ask(".mode csv");
    for (let round = 0; round < 3; round++) {
      terminal.enter(`${endless};`);
      const before = terminal.data.length;
      await until("rows", () => terminal.data.length > before + 50_000 * round);
      terminal.press(CTRL_C);
      await terminal.shows("pagefold: aborted");
      await terminal.shows("streaming> ");
      await terminal.ask("INSERT INTO t VALUES (1);", "1 row changed, committed locally");
    }
  });

  it("Up brings back what was typed, in this shell and in those before", async () => {
    const path = join(folder, "history", "sql");
    const first = await Terminal.at("recalled", { history: new History(path, () => {}) });
    await first.ask("SELECT 41 + 1 AS answer;", "1 row");
    first.press(`${UP}\r`);
    await first.shows("1 row");
    expect(first.data).toBe("answer\n------\n    42\n".repeat(2));
    await first.hangUp();
    const second = await Terminal.at("recalled", { history: new History(path, () => {}) });
    second.press(`${UP}\r`);
    await second.shows("1 row");
    expect(second.data).toContain("42");
  });
});

describe("leaving", () => {
  it.each([
    ["Ctrl-D", CTRL_D],
    [".quit", ".quit\r"],
    ["exit", "exit;\r"],
  ])("by %s pushes what was committed", async (way, keys) => {
    const name = `left-${way.replace(/\W/g, "")}`;
    const terminal = await Terminal.at(name);
    await terminal.ask("CREATE TABLE t(a); INSERT INTO t VALUES (1);", "1 row changed");
    terminal.press(keys);
    await terminal.shows("pushed 2 local commits as LSN 1");
    expect(await terminal.end()).toBeUndefined();
  });

  it("with nothing to push says nothing; with --no-push says what stays", async () => {
    const idle = await Terminal.at("idle");
    idle.press(CTRL_D);
    expect(await idle.end()).toBeUndefined();
    expect(idle.screen).toBe("idle> \n");
    const local = join(folder, "kept");
    const kept = await Terminal.at("kept", { local, pushes: false });
    await kept.ask("CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1);", "1 row changed");
    kept.press(CTRL_D);
    await kept.shows("the transaction that was not committed is rolled back");
    await kept.shows(`local only: 1 commit in ${local}, not in the remote log`);
    expect(await kept.end()).toBeUndefined();
    expect(await kept.database.status()).toMatchObject({ ahead: 1, remoteLsn: 0 });
  });

  it("when the push is lost stays first, so that nothing is lost unseen; leaving again is meant", async () => {
    const terminal = await Terminal.at("lost");
    await terminal.ask("CREATE TABLE mine(a);", "committed locally");
    await elsewhere("lost", "CREATE TABLE theirs(a)");
    terminal.press(CTRL_D);
    await terminal.shows("pagefold: diverged: another writer created commit 1");
    await terminal.shows(
      "still here: .push tries again, .reset yes drops the changes; leave again to leave without a push",
    );
    await terminal.shows("lost> ");
    await terminal.ask("SELECT count(*) FROM mine;", "1 row");
    terminal.press(CTRL_D);
    await terminal.shows("still here");
    terminal.press(CTRL_D);
    expect(await terminal.end()).toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/are lost: run the SQL again/),
    });
  });

  it("when the push is lost, .reset yes drops the changes and goes on from the newest state", async () => {
    const terminal = await Terminal.at("dropped");
    await terminal.ask("CREATE TABLE mine(a);", "committed locally");
    await elsewhere("dropped", "CREATE TABLE theirs(a)");
    await terminal.ask(".push", "pagefold: diverged");
    await terminal.ask(".reset", "this drops 1 local commit for good; if that is meant: .reset yes");
    await terminal.ask(".reset yes", "dropped 1 local commit");
    expect(await terminal.ask(".tables")).toBe("theirs\n");
    await terminal.ask("CREATE TABLE mine(a);", "committed locally");
    await terminal.ask(".push", "pushed 1 local commit as LSN 2");
  });

  it("when the terminal is gone or the process is told to end does not wait for anybody", async () => {
    const gone = await Terminal.at("hung-up");
    gone.press("SELECT 1");
    await gone.shows("SELECT 1");
    await gone.hangUp();
    expect(gone.ended).toBeDefined();
    const told = await Terminal.at("told");
    told.enter(`SELECT count(*) FROM (${endless});`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    told.stop();
    expect(await told.end()).toMatchObject({ code: "aborted" });
  });
});

describe("commands", () => {
  it(".tables and .schema show what there is", async () => {
    const terminal = await Terminal.at("shown");
    await terminal.ask(
      "CREATE TABLE items(a,\n  b); CREATE INDEX items_b ON items (b); CREATE VIEW v AS SELECT 1;",
      "done",
    );
    await terminal.ask("CREATE TEMP TABLE scratch(x);", "done");
    expect(await terminal.ask(".tables")).toBe("items\nscratch\nv\n");
    expect(await terminal.ask(".schema ITEMS")).toBe(
      "CREATE TABLE items(a,\n  b);\nCREATE INDEX items_b ON items (b);\n",
    );
    expect(await terminal.ask(".schema;")).toContain("CREATE VIEW v AS SELECT 1;\n");
    await terminal.ask(".schema nothing", "there is no table nothing");
  });

  it(".help lists all commands, and an unknown one leads there", async () => {
    const terminal = await Terminal.at("helped");
    const help = await terminal.ask("help", "Ctrl-C");
    for (const name of "help tables schema mode stats at status log pull push reset read quit".split(" "))
      expect(help).toMatch(new RegExp(`^\\.${name}\\b`, "m"));
    await terminal.ask(".hlep", "there is no command .hlep; .help lists");
    await terminal.ask(".constructor", "there is no command .constructor");
  });

  it(".mode and .stats change what is shown", async () => {
    const terminal = await Terminal.at("formed");
    await terminal.ask(".stats off");
    await terminal.ask(".mode json");
    expect(await terminal.ask("SELECT 1 AS a, NULL AS b;")).toBe('[{"a":1,"b":null}]\n');
    expect(terminal.screen).not.toContain(" row in ");
    await terminal.ask(".mode line");
    expect(await terminal.ask("SELECT 1 AS a, 2 AS bc;")).toBe(" a = 1\nbc = 2\n");
    await terminal.ask(".mode", "takes one of table, csv, json, line; it is line now");
    await terminal.ask(".stats on");
    await terminal.ask("SELECT 1;", "1 row in");
  });

  it(".at looks at the past, and .at now comes back", async () => {
    await elsewhere("moved", "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await elsewhere("moved", "INSERT INTO t VALUES (2)");
    const terminal = await Terminal.at("moved");
    const [newest] = await terminal.database.log();
    terminal.enter(".at 1");
    await terminal.shows("at LSN 1, read-only");
    await terminal.shows("moved@1> ");
    expect(await terminal.ask("SELECT count(*) AS n FROM t;", "1 row")).toBe("n\n-\n1\n");
    await terminal.ask("DELETE FROM t;", "read-only");
    await terminal.ask(".at 99", "pagefold: not_found");
    expect(terminal.screen.endsWith("moved@1> ")).toBe(true);
    terminal.enter(`.at ${new Date(newest?.time ?? 0).toISOString()}`);
    await terminal.shows("moved@2> ");
    terminal.enter(".at now");
    await terminal.shows("at the newest state");
    await terminal.ask("DELETE FROM t;", "2 rows changed, committed locally");
    await terminal.ask(".at", "needs an LSN or a time");
  });

  it(".pull, .push, .status and .log speak with the remote", async () => {
    const local = join(folder, "spoken");
    const terminal = await Terminal.at("spoken", { local });
    await terminal.ask("CREATE TABLE t(a);", "committed locally");
    await terminal.ask(".push", "pushed 1 local commit as LSN 1");
    await terminal.ask(".push", "nothing to push");
    await elsewhere("spoken", "INSERT INTO t VALUES (1)");
    await terminal.ask(".pull", "LSN 1 to 2, ");
    await terminal.ask(".pull", "at LSN 2");
    expect(await terminal.ask(".status", "inTransaction")).toMatch(/^state +clean$/m);
    expect((await terminal.ask(".log 1", "hash")).trim().split("\n")[2]).toMatch(/^ *2 /);
    await terminal.ask(".log x", "number of commits");
    // On a replica the first write of a line goes on top of what is new in the remote.
    await elsewhere("spoken", "INSERT INTO t VALUES (2)");
    await terminal.ask("INSERT INTO t VALUES (3);", "pulled LSN 3 before writing (was 2)");
    await terminal.ask(".push", "pushed 1 local commit as LSN 4");
  });

  it(".read runs a file, and stops at its first failure", async () => {
    const terminal = await Terminal.at("read");
    const path = join(folder, "a file.sql");
    writeFileSync(path, "CREATE TABLE t(a);\nINSERT INTO t VALUES (1);\n\nSELEC 1;\nDELETE FROM t;");
    await terminal.ask(`.read '${path}'`, `syntax error (${path}, line 4)`);
    expect(await terminal.ask("SELECT count(*) AS n FROM t;", "1 row")).toBe("n\n-\n1\n");
    await terminal.ask(".read nowhere.sql", "pagefold: not_found: there is no file nowhere.sql");
    await terminal.ask(".read", "needs a file");
  });
});
