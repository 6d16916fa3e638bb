/**
 * A long log in one file: a store to generate it into, and one to serve it from that holds a few bytes per commit in memory, so that the memory of who works
 * on it can be measured in the same process. For every commit it also lists a segment that no commit names, as an upload that was cut off leaves one.
 */
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
/** Of LSNs below 2^32: the store is in the process whose memory is measured, and must not fill it with what it throws away. */
const complement = (n) => `ffffffff${(0xffff_ffff - n).toString(16).padStart(8, "0")}`;
const lsnOf = (hex) => 0xffff_ffff - Number.parseInt(hex.slice(8), 16);

const LOOSE_BYTES = 4096;

/** The id of the loose segment of an LSN. */
function looseId(lsn) {
  let digits = "";
  for (let rest = lsn; rest > 0; rest = Math.floor(rest / 32)) digits = alphabet[rest % 32] + digits;
  return digits.padStart(26, "0");
}

/** Collects what a generator puts; `finish` writes `PATH.commits` and `PATH.json`. */
export class FlatLogWriter {
  url = "flat:";
  capabilities = { write: true, list: false, conditionalCreate: "yes" };
  #path;
  #file;
  #offset = 0;
  /** Where the commit of each LSN ends. */
  #ends = [];
  #others = new Map();

  constructor(path) {
    this.#path = path;
    this.#file = openSync(`${path}.commits`, "w");
  }

  async put(key, bytes) {
    if (!key.includes("/commits/")) {
      this.#others.set(key, Buffer.from(bytes).toString("base64"));
      return "created";
    }
    writeSync(this.#file, bytes);
    this.#offset += bytes.length;
    this.#ends.push(this.#offset);
    return "created";
  }

  finish(volume) {
    closeSync(this.#file);
    writeFileSync(`${this.#path}.ends`, Buffer.from(Float64Array.from(this.#ends).buffer));
    writeFileSync(`${this.#path}.json`, JSON.stringify({ volume, others: [...this.#others] }));
  }
}

/** An ObjectStore over such files; what is put goes to `engine.MemoryObjectStore`, what is deleted is forgotten. */
export class FlatLog {
  url = "flat:";
  capabilities = { write: true, list: true, conditionalCreate: "yes" };
  #file;
  #ends;
  #others;
  #folders;
  /** Commits, loose segments: a bit each, set where it was deleted. */
  #gone;
  deleted = 0;

  constructor(path, others) {
    const { volume, others: entries } = JSON.parse(readFileSync(`${path}.json`, "utf8"));
    this.volume = volume;
    this.#file = openSync(`${path}.commits`, "r");
    const ends = readFileSync(`${path}.ends`);
    this.#ends = new Float64Array(ends.buffer.slice(ends.byteOffset, ends.byteOffset + ends.length));
    this.#others = others;
    this.ready = Promise.all(
      entries.map(([key, text]) => others.put(key, new Uint8Array(Buffer.from(text, "base64")))),
    );
    const kinds = ["commits", "segments"];
    this.#folders = new Map(kinds.map((kind) => [`volumes/${volume}/${kind}/`, kind]));
    this.#gone = Object.fromEntries(kinds.map((kind) => [kind, new Uint8Array(this.#ends.length / 8 + 1)]));
  }

  /** Commits, and as many segments. */
  get objects() {
    return 2 * this.#ends.length;
  }

  async get(key, options = {}) {
    const found = this.#find(key);
    if (found === undefined) return this.#others.get(key, options);
    if (found.kind !== "commits" || this.#isGone(found)) return undefined;
    const start = this.#start(found.lsn);
    const length = this.#ends[found.lsn - 1] - start;
    const { offset, length: most } = options.range ?? { offset: 0, length };
    const bytes = new Uint8Array(Math.max(0, Math.min(most, length - offset)));
    readSync(this.#file, bytes, 0, bytes.length, start + offset);
    return bytes;
  }

  async put(key, body, options) {
    const found = this.#find(key);
    // Where a commit is, another would be.
    if (found !== undefined && options?.ifAbsent && !this.#isGone(found)) return "exists";
    if (found !== undefined) throw new Error(`${key} would be written again`);
    return this.#others.put(key, body, options);
  }

  async list(prefix, options = {}) {
    const kind = this.#folders.get(prefix);
    if (kind === undefined) return this.#others.list(prefix, options);
    const { startAfter, limit = 1000 } = options;
    const entries = [];
    for (let lsn = this.#firstAfter(prefix, startAfter); lsn >= 1 && entries.length < limit; lsn--) {
      if (this.#isGone({ kind, lsn })) continue;
      const isCommit = kind === "commits";
      const key = prefix + complement(lsn) + (isCommit ? "" : `-${looseId(lsn)}`);
      if (startAfter !== undefined && key <= startAfter) continue;
      entries.push({ key, size: isCommit ? this.#ends[lsn - 1] - this.#start(lsn) : LOOSE_BYTES });
    }
    return entries;
  }

  async delete(keys, options) {
    const others = keys.filter((key) => this.#find(key) === undefined);
    for (const key of keys) {
      const found = this.#find(key);
      if (found === undefined || this.#isGone(found)) continue;
      const bits = this.#gone[found.kind];
      bits[found.lsn >> 3] |= 1 << (found.lsn & 7);
      this.deleted++;
    }
    if (others.length > 0) await this.#others.delete(others, options);
  }

  async close() {
    closeSync(this.#file);
  }

  #start(lsn) {
    return lsn === 1 ? 0 : this.#ends[lsn - 2];
  }

  /** One of the objects of the log that the files hold, there or gone. */
  #find(key) {
    const slash = key.lastIndexOf("/") + 1;
    const kind = this.#folders.get(key.slice(0, slash));
    if (kind === undefined) return undefined;
    const lsn = lsnOf(key.slice(slash, slash + 16));
    if (lsn < 1 || lsn > this.#ends.length) return undefined;
    return kind === "commits" || key.endsWith(looseId(lsn)) ? { kind, lsn } : undefined;
  }

  #isGone({ kind, lsn }) {
    return (this.#gone[kind][lsn >> 3] & (1 << (lsn & 7))) !== 0;
  }

  /** The newest LSN whose key may come after. */
  #firstAfter(prefix, startAfter) {
    const most = this.#ends.length;
    if (startAfter === undefined || startAfter.length < prefix.length + 16) return most;
    return Math.min(most, lsnOf(startAfter.slice(prefix.length, prefix.length + 16)));
  }
}
