/** The shell on the process's own terminal: opens the database, greets, and gives the terminal back. */
import { homedir } from "node:os";
import { bytesText } from "../../bytes-text.ts";
import { pastPoint } from "../options.ts";
import type { Session } from "../session.ts";
import { History, historyFile } from "./history.ts";
import { LineReader } from "./line-reader.ts";
import { learnPast, mayWrite, openDatabase, type SqlOptions } from "./open.ts";
import { Shell } from "./shell.ts";
import type { SqlSession } from "./sql-session.ts";

export async function runInteractive(session: Session, name: string, options: SqlOptions): Promise<void> {
  const { output, signal } = session;
  await learnPast(session, name, options);
  const database = await openDatabase(session, name, options, undefined);
  const past = pastPoint(options);
  if (past !== undefined) await database.moveTo(past, signal);
  output.talk(await greeting(database, name, options));
  const history = new History(historyFile(process.env, homedir(), process.platform), (problem) =>
    output.talk(`pagefold: ${problem}`),
  );
  // What goes to a file is data, and prompts are none.
  const shown = process.stdout.isTTY === true ? process.stdout : process.stderr;
  const reader = new LineReader({ input: process.stdin, output: shown }, history);
  const close = (): void => reader.close();
  session.onEnd(close);
  signal.addEventListener("abort", close, { once: true });
  const shell = new Shell({
    name,
    local: options.local,
    session: database,
    reader,
    output,
    mode: options.mode ?? "table",
    pushes: options.push,
    signal,
  });
  await shell.run();
}

async function greeting(database: SqlSession, name: string, options: SqlOptions): Promise<string> {
  const { lsn, ahead, byteLength, bridge } = await database.status();
  const { pastLsn } = database;
  const where = pastLsn === undefined ? `LSN ${lsn}, ${bytesText(byteLength)}` : `LSN ${pastLsn}`;
  const waiting = ahead === 0 ? "" : `, ${ahead} local commit(s) not pushed`;
  const leaving = !mayWrite(options)
    ? options.readOnly === true
      ? "read-only"
      : "read-only, since --no-push without --local DIR would lose what is written"
    : options.push
      ? "leaving pushes what was committed"
      : "what is committed stays local";
  return `${name}: ${where}${waiting} (${bridge}); ${leaving}; .help lists commands, Ctrl-D leaves`;
}
