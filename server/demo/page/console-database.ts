/**
 * The database that the console runs on: its requests and faults are logged, it follows the remote log, and it can show a state of the past instead of
 * the newest. What happens is told by one event, so that whoever shows it looks again.
 */
import { FaultLog } from "../../../src/inspect/fault-log.ts";
import type { VolumeFigures } from "../../../src/inspect/inspection.ts";
import { withRequestLog } from "../../../src/inspect/request-log.ts";
// The build leaves this one out of the page's script: it is loaded as anybody loads `pagefold/browser`.
import { Database, type ObjectStore } from "../../../vfs/web/index.ts";
import { keepFollowing, type OpenDatabase } from "./follow.ts";

type Past = Awaited<ReturnType<OpenDatabase["at"]>>;

const monotonic = (): number => performance.now();
const COMMITS_SHOWN = 50;

export interface Figures extends VolumeFigures {
  /** Since the database was opened. */
  readonly requests: number;
  readonly bytesFetched: number;
}

export class ConsoleDatabase {
  readonly faults: FaultLog;
  readonly #database: OpenDatabase;
  readonly #closing = new AbortController();
  #past: Past | undefined;

  private constructor(database: OpenDatabase, faults: FaultLog) {
    this.#database = database;
    this.faults = faults;
  }

  /** @param store stays open @param onChange something that is shown may have changed */
  static async open(store: ObjectStore, tag: string, onChange: () => void): Promise<ConsoleDatabase> {
    const faults = new FaultLog({ monotonic, now: Date.now });
    const database = await Database.open(withRequestLog(store, monotonic, faults.request), tag);
    const opened = new ConsoleDatabase(database, faults);
    database.on("fault", faults.fault);
    database.on("commit", onChange);
    database.on("status", onChange);
    void keepFollowing(database, { signal: opened.#closing.signal, onMove: onChange });
    return opened;
  }

  /** Where SQL runs: on the newest state, or on one of the past. */
  get target(): OpenDatabase | Past {
    return this.#past ?? this.#database;
  }

  /** The commit that is shown, if it is not the newest. */
  get pastLsn(): number | undefined {
    return this.#past?.lsn;
  }

  /** Shows the state of a commit; undefined: the newest. */
  async travel(lsn: number | undefined): Promise<void> {
    const before = this.#past;
    this.#past = lsn === undefined ? undefined : await this.#database.at(lsn);
    await before?.close();
  }

  async figures(): Promise<Figures> {
    const figures = await this.target.inspect({ commits: COMMITS_SHOWN });
    const { requests, bytesFetched } = await this.#database.status();
    return { ...figures, requests, bytesFetched };
  }

  async push(): Promise<number> {
    return (await this.#database.push()).lsn;
  }

  async reset(): Promise<void> {
    await this.#database.reset();
    await this.#database.pull();
  }

  /** Ends what runs. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#database.close();
  }
}
