/**
 * The durable record log: everything local that must survive a crash goes through it. Records are appended to one of two
 * files, one flush makes them durable together, and compaction writes the live ones into the other file and switches by
 * a flushed header (OPFS handles cannot rename). Formats: record-format.ts; recovery: log-recovery.ts.
 */
import { assert } from "../base/assert.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { noopRecorder, type Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { BlockFile, BlockFileSystem } from "./block-file.ts";
import { keepAside } from "./keep-aside.ts";
import { LogHeaderFile } from "./log-header.ts";
import { type RecoveredLog, recoverLog } from "./log-recovery.ts";
import { LogWriter, type RecordRef } from "./log-writer.ts";
import type { Xxh64 } from "./xxh64.ts";

export type { RecordRef } from "./log-writer.ts";

export interface RecordLogOptions {
  readonly xxh64: Xxh64;
  /** For the salts of generations. */
  readonly runtime: Runtime;
  readonly recorder?: Recorder;
  /** First extent of preallocated space; each further one doubles, up to eight times this. Default 1 MiB. */
  readonly extentBytes?: number;
  /** The largest payload that `append` takes. Default 256 MiB. */
  readonly maxRecordBytes?: number;
  /**
   * What to do with a log that is damaged (not: torn at its end, which is always cut). "report", the default: keep a copy aside
   * and throw `corrupt`. "cut": keep a copy aside, then open with the good records before the damage.
   */
  readonly onDamage?: "report" | "cut";
  /** Called at open for every good record in order. `payload` is valid during the call. */
  readonly visit: (type: number, payload: Uint8Array, ref: RecordRef) => void;
}

export type AppendRecord = (type: number, parts: readonly Uint8Array[]) => RecordRef;

interface LogFiles {
  readonly header: BlockFile;
  readonly logs: readonly [BlockFile, BlockFile];
}

export class RecordLog {
  readonly #files: LogFiles;
  readonly #header: LogHeaderFile;
  readonly #options: RecordLogOptions;
  readonly #recorder: Recorder;
  #writer: LogWriter;
  #poison: unknown;
  #closed = false;
  #rewriting = false;

  private constructor(files: LogFiles, header: LogHeaderFile, writer: LogWriter, options: RecordLogOptions) {
    this.#files = files;
    this.#header = header;
    this.#writer = writer;
    this.#options = options;
    this.#recorder = options.recorder ?? noopRecorder;
  }

  /**
   * Opens the log in `files`, creating it where there is none. What was visited is durable when this resolves.
   *
   * @throws `corrupt` when a record that had been flushed is damaged, or the header is; `busy` when it is open already
   */
  static async open(files: BlockFileSystem, options: RecordLogOptions): Promise<RecordLog> {
    const opened: BlockFile[] = [];
    const open = async (name: string): Promise<BlockFile> => {
      const file = await files.open(name);
      opened.push(file);
      return file;
    };
    try {
      const header = await open("header");
      const logFiles: LogFiles = { header, logs: [await open("log-0"), await open("log-1")] };
      return await openLog(files, logFiles, options, (h, w) => new RecordLog(logFiles, h, w, options));
    } catch (e) {
      for (const file of opened) await file.close();
      throw e;
    }
  }

  /** Bytes that the records of the current generation take. */
  get size(): number {
    return this.#writer.end;
  }

  get generation(): number {
    return this.#writer.generation;
  }

  /** Whether `flush` is a durability point, or only `durable()` is: see BlockFile. */
  get durability(): BlockFile["durability"] {
    return this.#writer.file.durability;
  }

  /**
   * Writes one record; it is durable after the next `flush`. With `quota` nothing has changed and the log stays usable (for a
   * `rewrite`, say); after any other failure it must be reopened.
   * @param spareBytes a record for which there is no room beside so much for later ones is `quota`
   */
  append(type: number, parts: readonly Uint8Array[], spareBytes = 0): RecordRef {
    this.#checkWritable();
    assert(!this.#rewriting, "append to the old generation while it is being rewritten would be lost");
    let ref: RecordRef;
    try {
      ref = this.#writer.append(type, parts, spareBytes);
    } catch (e) {
      throw this.#failed(e, "quota", "invalid");
    }
    this.#recorder.count("local.log.append.count");
    this.#recorder.count("local.log.append.bytes", ref.length);
    return ref;
  }

  /** Makes everything appended durable, with one flush of one file; none where there is nothing to do. */
  flush(): void {
    this.#checkWritable();
    if (!this.#writer.dirty) return;
    const end = this.#recorder.span("local.log.flush");
    try {
      this.#writer.flush();
    } catch (e) {
      end(e);
      throw this.#failed(e);
    }
    end();
  }

  /** Resolves when everything flushed so far is on stable storage: at once where `durability` is "flush". */
  async durable(): Promise<void> {
    this.#checkWritable();
    await Promise.all([this.#writer.file.durable(), this.#files.header.durable()]);
  }

  /**
   * Fills `into` with bytes of a payload from `offset` on. Records were verified when the log was opened, not again here.
   *
   * @throws `corrupt` when the file no longer holds the payload
   */
  read(ref: RecordRef, offset: number, into: Uint8Array): void {
    if (this.#closed) throw closedError();
    assert(ref.generation === this.#writer.generation, "a record reference outlived its generation");
    assert(offset >= 0 && offset + into.length <= ref.length, "read beyond the payload of a record");
    const { file } = this.#writer;
    const n = file.readAt(ref.position + offset, into);
    if (n !== into.length) {
      throw new PagefoldError(
        "corrupt",
        `${file.name} ends within a record at ${ref.position}; close the store and reopen it to recover`,
        { details: { path: file.name, position: ref.position } },
      );
    }
  }

  /**
   * Compaction: what `write` appends becomes the new generation, durable and switched to at once; all else is dropped and
   * its references end. `read` serves the old generation while `write` runs. If it throws, or the new file cannot be
   * written, the log is as before.
   */
  rewrite(write: (append: AppendRecord) => void): void {
    this.#checkWritable();
    assert(!this.#rewriting, "rewrite within rewrite");
    const generation = this.#writer.generation + 1;
    const file = logFile(this.#files, generation);
    file.truncate(0);
    const salt = newSalt(this.#options.runtime);
    const next = createWriter(this.#files, this.#options, { generation, salt });
    this.#rewriting = true;
    try {
      write((type, parts) => next.append(type, parts));
      next.flush();
    } catch (e) {
      truncateQuietly(file);
      throw e;
    } finally {
      this.#rewriting = false;
    }
    try {
      this.#header.write({ generation, salt, flushed: next.flushed });
      this.#writer = next;
      this.#header.settle();
    } catch (e) {
      throw this.#failed(e);
    }
    this.#recorder.count("local.log.rewrite.count");
    truncateQuietly(logFile(this.#files, generation - 1));
  }

  /** Flushes, notes in the header how far (so that damage to any record is found at the next open), and closes. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      if (this.#poison === undefined) {
        this.flush();
        const { generation, salt, flushed } = this.#writer;
        if (this.#header.current?.flushed !== flushed) this.#header.write({ generation, salt, flushed });
        await this.durable();
      }
    } finally {
      this.#closed = true;
      for (const file of [this.#files.header, ...this.#files.logs]) await file.close();
    }
  }

  #checkWritable(): void {
    if (this.#closed) throw closedError();
    if (this.#poison === undefined) return;
    throw new PagefoldError(
      "unavailable",
      `an earlier write to ${this.#writer.file.name} failed, so what it holds is unknown; close the store and reopen it to recover (reads go on)`,
      { cause: this.#poison, details: { path: this.#writer.file.name }, retryable: false },
    );
  }

  /** Remembers a failure that leaves the file in doubt; `harmless` codes do not. */
  #failed(e: unknown, ...harmless: ("quota" | "invalid")[]): unknown {
    if (harmless.length === 0 || !isPagefoldError(e, ...harmless)) this.#poison = e;
    return e;
  }
}

async function openLog(
  fileSystem: BlockFileSystem,
  files: LogFiles,
  options: RecordLogOptions,
  build: (header: LogHeaderFile, writer: LogWriter) => RecordLog,
): Promise<RecordLog> {
  const header = new LogHeaderFile(files.header, options.xxh64);
  if (header.blank) {
    checkNothingToLose(files);
    header.write({ generation: 1, salt: newSalt(options.runtime), flushed: 0 });
  }
  header.settle();
  const current = header.current;
  assert(current !== undefined, "a log without a header after creation");
  const { generation, salt } = current;
  // Remains of a compaction: the old generation after the switch, or a new one that never got so far.
  const other = logFile(files, generation + 1);
  if (other.size() > 0) other.truncate(0);

  const file = logFile(files, generation);
  const found = recoverLog(file, current, options.xxh64, (type, payload, position) =>
    options.visit(type, payload, { position, length: payload.length, generation }),
  );
  if (found.damage !== undefined) {
    const name = generation % 2 === 0 ? "log-0" : "log-1";
    const error = damageError(file, found, await keepAside(fileSystem, name, file));
    if (options.onDamage !== "cut") throw error;
    options.recorder?.count("local.log.damage_cut.count");
    // The header must stop vouching for what is cut, before it is.
    header.write({ generation, salt, flushed: 0 });
    header.write({ generation, salt, flushed: 0 });
  }
  if (found.dirtyTail) {
    // Were the tail to stay, a later record in it could become valid again behind a new one that equals the lost one.
    if (found.damage === undefined) options.recorder?.count("local.log.torn_tail.count");
    file.truncate(found.end);
  }
  // A record may have been visited that only the page cache holds: callers rely on it from now on.
  if (found.dirtyTail || found.sequence > 0) file.flush();
  return build(header, createWriter(files, options, { generation, salt, ...found }));
}

/** A blank header beside records means that the header was lost, not that there never was a log. */
function checkNothingToLose(files: LogFiles): void {
  for (const file of files.logs) {
    if (file.size() === 0) continue;
    throw new PagefoldError(
      "corrupt",
      `${files.header.name} is empty but ${file.name} holds records; restore the header from a copy, or delete the directory and clone again (commits that were not pushed are lost with it)`,
      { details: { path: files.header.name } },
    );
  }
}

function damageError(file: BlockFile, found: RecoveredLog, kept: string): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `${file.name}: record ${found.damage?.sequence} at ${found.end} was durable and is damaged (${found.damage?.witness}); nothing was cut, and the file was kept aside as ${kept}. Restore the directory from a copy, or reopen with onDamage: "cut" to go on with the ${found.sequence} records before it`,
    {
      details: {
        path: file.name,
        position: found.end,
        sequence: found.damage?.sequence,
        goodRecords: found.sequence,
        kept,
      },
    },
  );
}

function createWriter(
  files: LogFiles,
  options: RecordLogOptions,
  state: { generation: number; salt: bigint; end?: number; sequence?: number; chain?: bigint },
): LogWriter {
  return new LogWriter({
    file: logFile(files, state.generation),
    hash: options.xxh64,
    extentBytes: options.extentBytes ?? 1024 * 1024,
    maxRecordBytes: Math.min(options.maxRecordBytes ?? 256 * 1024 * 1024, 0xffff_ffff),
    ...state,
  });
}

function logFile(files: LogFiles, generation: number): BlockFile {
  return generation % 2 === 0 ? files.logs[0] : files.logs[1];
}

function newSalt(runtime: Runtime): bigint {
  const bytes = runtime.randomBytes(new Uint8Array(8));
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** Gives back space that nothing needs any more; failing to is no reason to fail, the next open tries again. */
function truncateQuietly(file: BlockFile): void {
  try {
    file.truncate(0);
  } catch {
    // Opening the log truncates it.
  }
}

function closedError(): PagefoldError {
  return new PagefoldError("closed", "the local store was closed; open it again");
}
