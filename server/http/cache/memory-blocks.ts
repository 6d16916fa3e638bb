/**
 * The memory tier of the server's cache: aligned blocks of immutable objects, bounded in bytes, the block used longest ago given up first. A
 * small object is one short block. Blocks hang on their object, so that a lookup makes no string and nothing is copied.
 */

/** What a block costs beside its bytes: its links, its entry in the object, its share of the object. */
const BLOCK_OVERHEAD = 256;

interface Block {
  readonly object: CachedObject;
  readonly number: number;
  readonly bytes: Uint8Array;
  newer: Block | undefined;
  older: Block | undefined;
}

/** What is known of one immutable object. */
export class CachedObject {
  readonly key: string;
  /** Bytes of the whole object, once known. */
  size: number | undefined;
  /** A strong entity tag, once somebody has worked it out. */
  etag: string | undefined;
  /** False once it was deleted or replaced: what is still under way must not be kept. */
  current = true;
  readonly blocks = new Map<number, Block>();

  constructor(key: string) {
    this.key = key;
  }
}

export class MemoryBlocks {
  readonly #limit: number;
  readonly #objects = new Map<string, CachedObject>();
  #newest: Block | undefined;
  #oldest: Block | undefined;
  #bytes = 0;
  #count = 0;
  evictions = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  find(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** The object's entry; one without blocks is forgotten with `release`. */
  object(key: string): CachedObject {
    let object = this.#objects.get(key);
    if (object === undefined) {
      object = new CachedObject(key);
      this.#objects.set(key, object);
    }
    return object;
  }

  /** A block's bytes, shared: not to be changed. */
  get(object: CachedObject, number: number): Uint8Array | undefined {
    const block = object.blocks.get(number);
    if (block === undefined) return undefined;
    if (block !== this.#newest) {
      this.#unlink(block);
      this.#link(block);
    }
    return block.bytes;
  }

  /** Keeps `bytes` as they are: nobody may change them any more. */
  put(known: CachedObject, number: number, bytes: Uint8Array): void {
    if (!known.current) return;
    // One that was released meanwhile, as nothing of it was here, has another entry now.
    const object = this.object(known.key);
    object.size ??= known.size;
    if (object.blocks.has(number)) return;
    const cost = bytes.length + BLOCK_OVERHEAD;
    if (cost > this.#limit) {
      this.release(object);
      return;
    }
    const block: Block = { object, number, bytes, newer: undefined, older: undefined };
    object.blocks.set(number, block);
    this.#link(block);
    this.#bytes += cost;
    this.#count++;
    while (this.#bytes > this.#limit && this.#oldest !== undefined && this.#oldest !== block) {
      this.evictions++;
      this.#drop(this.#oldest);
    }
  }

  forget(key: string): void {
    const object = this.#objects.get(key);
    if (object === undefined) return;
    object.current = false;
    for (const block of [...object.blocks.values()]) this.#drop(block);
    this.#objects.delete(key);
  }

  /** Forgets an object of which nothing is kept. */
  release(object: CachedObject): void {
    if (object.blocks.size === 0 && this.#objects.get(object.key) === object)
      this.#objects.delete(object.key);
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()];
  }

  clear(): void {
    for (const key of this.keys()) this.forget(key);
  }

  #drop(block: Block): void {
    this.#unlink(block);
    block.object.blocks.delete(block.number);
    this.#bytes -= block.bytes.length + BLOCK_OVERHEAD;
    this.#count--;
    this.release(block.object);
  }

  #link(block: Block): void {
    block.older = this.#newest;
    block.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = block;
    this.#newest = block;
    this.#oldest ??= block;
  }

  #unlink(block: Block): void {
    if (block.newer === undefined) this.#newest = block.older;
    else block.newer.older = block.older;
    if (block.older === undefined) this.#oldest = block.newer;
    else block.older.newer = block.newer;
  }
}
