/**
 * A database that the command has open, and what running SQL on it needs to remember: where statements run (on the newest state, or a past one),
 * which volumes they may have changed, and what of that is not in the remote log yet.
 */
import { isPagefoldError } from "../../../src/base/errors.ts";
import type {
  Database,
  DatabaseAt,
  DatabaseStatus,
  PushResult,
  SqlExecutor,
  SqlParameter,
} from "../../../vfs/index.ts";
import { otherNotPushed } from "./remains.ts";
import { type Outcome, type ResultSink, runStatement } from "./run.ts";
import type { SqlStatement } from "./statements.ts";

export interface SqlSessionOptions {
  /** The volume that the database was opened on. */
  readonly volume: string;
  /** Commits are to be pushed, from a state that may be old: it is brought up to date before the first write. */
  readonly pullsBeforeWriting: boolean;
  readonly talk: (line: string) => void;
}

/** A push of one of the volumes. */
export interface Pushed extends PushResult {
  readonly volume: string;
}

export class SqlSession {
  readonly database: Database;
  readonly #options: SqlSessionOptions;
  #past: DatabaseAt | undefined;
  #isFresh = false;
  /** Local commits made here that no push has taken. */
  #commits = 0;
  /** Volumes other than the main one that a statement may have changed: attached, or switched to. */
  readonly #others = new Set<string>();
  #othersChanged = false;

  constructor(database: Database, options: SqlSessionOptions) {
    this.database = database;
    this.#options = options;
  }

  get executor(): SqlExecutor {
    return this.#past ?? this.database;
  }

  /** The LSN of the past state that statements run on; undefined on the newest one. */
  get pastLsn(): number | undefined {
    return this.#past?.lsn;
  }

  /** Local commits of this session that were not pushed; those of attached volumes not among them. */
  get commits(): number {
    return this.#commits;
  }

  /** Whether there is something of this session to push. */
  get hasChanges(): boolean {
    return this.#commits > 0 || this.#othersChanged;
  }

  async run(
    statement: SqlStatement,
    parameters: readonly SqlParameter[],
    sink: ResultSink,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { effect, verb } = statement;
    if (effect === "write" || effect === "begin") await this.#freshen(signal);
    const outcome = await runStatement(this.executor, statement, parameters, sink, signal);
    if (outcome.commit !== undefined) this.#commits++;
    if (this.#others.size > 0 && effect !== "query") this.#othersChanged = true;
    if (verb === "ATTACH" || verb === "PRAGMA") await this.#noteVolumes(signal);
    return outcome;
  }

  /** The next write is made on the newest state again. */
  expectOld(): void {
    this.#isFresh = false;
  }

  /** From now on statements run on a past state, or (undefined) on the newest. @throws `not_found` */
  async moveTo(point: number | Date | undefined, signal: AbortSignal): Promise<void> {
    const next = point === undefined ? undefined : await this.database.at(point, { signal });
    await this.#past?.close();
    this.#past = next;
  }

  /** Pushes what is local of every volume that was changed; the main one's push comes first. @throws what `Database.push` throws */
  async push(signal: AbortSignal): Promise<Pushed[]> {
    const { volume } = await this.database.status();
    const pushed = [{ ...(await this.database.push({ signal })), volume }];
    this.#commits = 0;
    if (!this.#othersChanged) return pushed;
    try {
      // A database pushes the volume that it is on.
      for (const other of this.#others) {
        await this.#switchTo(other, signal);
        const status = await this.database.status();
        if (status.ahead === 0) continue;
        const push = await this.database.push({ signal }).catch((error) => {
          throw isPagefoldError(error) ? otherNotPushed(error, other) : error;
        });
        pushed.push({ ...push, volume: status.volume });
      }
      this.#othersChanged = false;
    } finally {
      await this.#switchTo(volume, signal);
    }
    return pushed;
  }

  /** Drops what is local and moves to the newest remote commit. */
  async reset(signal: AbortSignal): Promise<number> {
    const { dropped } = await this.database.reset({ signal });
    await this.database.pull({ signal });
    this.#commits = 0;
    return dropped;
  }

  status(): Promise<DatabaseStatus> {
    return this.database.status();
  }

  /** On an old state a commit could not be pushed. On one with local commits nothing can be done about that here. */
  async #freshen(signal: AbortSignal): Promise<void> {
    if (this.#isFresh || !this.#options.pullsBeforeWriting || this.#past !== undefined) return;
    const { ahead, inTransaction } = await this.database.status();
    if (ahead === 0 && !inTransaction) {
      const { from, lsn } = await this.database.pull({ signal });
      if (lsn !== from) this.#options.talk(`pulled LSN ${lsn} before writing (was ${from})`);
    }
    this.#isFresh = true;
  }

  async #noteVolumes(signal: AbortSignal): Promise<void> {
    const files = await this.database.execute("PRAGMA database_list", { signal });
    const { volume } = await this.database.status();
    if (volume !== this.#options.volume) this.#others.add(volume).add(this.#options.volume);
    for (const [, name, file] of files.rows) {
      if (name !== "main" && typeof file === "string" && file !== "") this.#others.add(file);
    }
  }

  async #switchTo(volume: string, signal: AbortSignal): Promise<void> {
    await this.database.execute(`PRAGMA pagefold_switch = '${volume.replaceAll("'", "''")}'`, { signal });
  }
}
