/**
 * The two inner loops of BLAKE3 as a WebAssembly module, assembled here instead of shipped as bytes that nobody can read. `many` compresses
 * four independent inputs at a time, one per 32-bit lane of a vector; `one` compresses a single block and needs no SIMD. What
 * they are put together for is in `blake3.ts`; the function itself is specified in github.com/BLAKE3-team/BLAKE3-specs.
 */

/** Where `many` and `one` find the chaining value that a chunk or parent starts from: eight words. */
export const KEY_AT = 0;
/** Bytes of memory, in pages of 64 KiB. */
export const MEMORY_PAGES = 3;

export const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
] as const;

const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** The columns, then the diagonals. */
const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

export interface Blake3Exports {
  readonly memory: WebAssembly.Memory;
  /**
   * Four inputs, `stride` bytes apart, of `blocks` whole blocks each; the counter of lane i is `counter + i * step`. Chaining values of 32 bytes
   * each are written to `out`, one after the other, after everything was read.
   */
  many?(
    input: number,
    stride: number,
    blocks: number,
    counter: number,
    step: number,
    flags: number,
    firstFlag: number,
    lastFlag: number,
    out: number,
  ): void;
  /** One block, from the chaining value at `cv` to the one at `out`, which may be the same place. */
  one(cv: number, block: number, blockBytes: number, counter: number, flags: number, out: number): void;
}

const I32 = 0x7f;
const V128 = 0x7b;
const END = 0x0b;

/** An expression: the instructions that leave one value on the stack. */
type Expression = readonly number[];

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 127;
    rest >>= 7;
    if ((rest === 0 && low < 64) || (rest === -1 && low >= 64)) return [...bytes, low];
    bytes.push(low + 128);
  }
}

const get = (local: number): Expression => [0x20, ...unsigned(local)];
const set = (local: number, value: Expression): Expression => [...value, 0x21, ...unsigned(local)];
const constant = (value: number): Expression => [0x41, ...signed(value)];
const simd = (code: number): Expression => [0xfd, ...unsigned(code)];

const i32 = {
  add: (a: Expression, b: Expression): Expression => [...a, ...b, 0x6a],
  sub: (a: Expression, b: Expression): Expression => [...a, ...b, 0x6b],
  mul: (a: Expression, b: Expression): Expression => [...a, ...b, 0x6c],
  or: (a: Expression, b: Expression): Expression => [...a, ...b, 0x72],
  xor: (a: Expression, b: Expression): Expression => [...a, ...b, 0x73],
  /** Whether it is zero. */
  isZero: (a: Expression): Expression => [...a, 0x45],
  equal: (a: Expression, b: Expression): Expression => [...a, ...b, 0x46],
  /** `a` where the condition holds, else `b`. */
  select: (a: Expression, b: Expression, condition: Expression): Expression => [
    ...a,
    ...b,
    ...condition,
    0x1b,
  ],
  rotateRight: (a: Expression, bits: number): Expression => [...a, ...constant(bits), 0x78],
  load: (at: Expression, offset: number): Expression => [...at, 0x28, 2, ...unsigned(offset)],
  store: (at: Expression, offset: number, value: Expression): Expression => [
    ...at,
    ...value,
    0x36,
    2,
    ...unsigned(offset),
  ],
};

const v128 = {
  load: (at: Expression, offset: number): Expression => [...at, ...simd(0x00), 4, ...unsigned(offset)],
  store: (at: Expression, offset: number, value: Expression): Expression => [
    ...at,
    ...value,
    ...simd(0x0b),
    4,
    ...unsigned(offset),
  ],
  words: (words: readonly number[]): Expression => [
    ...simd(0x0c),
    ...words.flatMap((word) => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]),
  ],
  /** Lanes 0–15 are the bytes of `a`, 16–31 those of `b`. */
  shuffle: (a: Expression, b: Expression, lanes: readonly number[]): Expression => [
    ...a,
    ...b,
    ...simd(0x0d),
    ...lanes,
  ],
  splat: (a: Expression): Expression => [...a, ...simd(0x11)],
  or: (a: Expression, b: Expression): Expression => [...a, ...b, ...simd(0x50)],
  xor: (a: Expression, b: Expression): Expression => [...a, ...b, ...simd(0x51)],
  shiftLeft: (a: Expression, bits: number): Expression => [...a, ...constant(bits), ...simd(0xab)],
  shiftRight: (a: Expression, bits: number): Expression => [...a, ...constant(bits), ...simd(0xad)],
  add: (a: Expression, b: Expression): Expression => [...a, ...b, ...simd(0xae)],
  mul: (a: Expression, b: Expression): Expression => [...a, ...b, ...simd(0xb5)],
};

/** Adding, xoring and rotating words, of one lane or of four. */
interface Words {
  add(a: Expression, b: Expression): Expression;
  xor(a: Expression, b: Expression): Expression;
  /** Rotates a local in place. */
  rotate(local: number, bits: 16 | 12 | 8 | 7): Expression;
}

const oneLane: Words = {
  add: i32.add,
  xor: i32.xor,
  rotate: (local, bits) => set(local, i32.rotateRight(get(local), bits)),
};

const fourLanes: Words = {
  add: v128.add,
  xor: v128.xor,
  rotate(local, bits) {
    const value = get(local);
    if (bits === 16 || bits === 8) {
      const by = bits / 8;
      const lanes = Array.from({ length: 16 }, (_, i) => (i & ~3) + ((i + by) & 3));
      return set(local, v128.shuffle(value, value, lanes));
    }
    return set(local, v128.or(v128.shiftRight(value, bits), v128.shiftLeft(value, 32 - bits)));
  },
};

/** The seven rounds over state locals v … v+15 and message locals m … m+15, unrolled. */
function rounds(words: Words, v: number, m: number): Expression {
  const code: number[] = [];
  let order = Array.from({ length: 16 }, (_, i) => i);
  for (let round = 0; round < 7; round++) {
    MIXES.forEach(([a, b, c, d], i) => {
      const [va, vb, vc, vd] = [v + a, v + b, v + c, v + d];
      for (const [message, first, second] of [
        [order[2 * i]!, 16, 12],
        [order[2 * i + 1]!, 8, 7],
      ] as const) {
        code.push(...set(va, words.add(words.add(get(va), get(vb)), get(m + message))));
        code.push(...set(vd, words.xor(get(vd), get(va))), ...words.rotate(vd, first));
        code.push(...set(vc, words.add(get(vc), get(vd))));
        code.push(...set(vb, words.xor(get(vb), get(vc))), ...words.rotate(vb, second));
      }
    });
    order = PERMUTATION.map((from) => order[from]!);
  }
  return code;
}

const word = (...lanes: number[]) => lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
const EVEN_LOW = word(0, 4, 1, 5);
const EVEN_HIGH = word(2, 6, 3, 7);
const PAIRS_LOW = word(0, 1, 4, 5);
const PAIRS_HIGH = word(2, 3, 6, 7);

/** Turns four rows of four words into columns, or back; `t` … t+3 are free. */
function transpose(rows: readonly Expression[], to: readonly number[], t: number): Expression {
  const [a, b, c, d] = rows as [Expression, Expression, Expression, Expression];
  return [
    ...set(t, v128.shuffle(a, b, EVEN_LOW)),
    ...set(t + 1, v128.shuffle(a, b, EVEN_HIGH)),
    ...set(t + 2, v128.shuffle(c, d, EVEN_LOW)),
    ...set(t + 3, v128.shuffle(c, d, EVEN_HIGH)),
    ...set(to[0]!, v128.shuffle(get(t), get(t + 2), PAIRS_LOW)),
    ...set(to[1]!, v128.shuffle(get(t), get(t + 2), PAIRS_HIGH)),
    ...set(to[2]!, v128.shuffle(get(t + 1), get(t + 3), PAIRS_LOW)),
    ...set(to[3]!, v128.shuffle(get(t + 1), get(t + 3), PAIRS_HIGH)),
  ];
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

function manyBody(): Expression {
  const [input, stride, blocks, counter, step, flags, firstFlag, lastFlag, out] = upTo(9) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const block = 9;
  const row = 10; // … 13: where the current block of each input starts
  const cv = 14;
  const v = cv + 8;
  const m = v + 16;
  const t = m + 16;
  const counters = t + 4;
  const code: number[] = [];
  for (const i of upTo(4)) code.push(...set(row + i, i32.add(get(input), i32.mul(get(stride), constant(i)))));
  for (const i of upTo(8)) code.push(...set(cv + i, v128.splat(i32.load(constant(KEY_AT), 4 * i))));
  const lanes = v128.mul(v128.splat(get(step)), v128.words([0, 1, 2, 3]));
  code.push(...set(counters, v128.add(v128.splat(get(counter)), lanes)));
  code.push(0x03, 0x40); // loop over the blocks
  for (const i of upTo(4)) {
    const rows = upTo(4).map((lane) => v128.load(get(row + lane), 16 * i));
    code.push(
      ...transpose(
        rows,
        upTo(4).map((k) => m + 4 * i + k),
        t,
      ),
    );
  }
  for (const i of upTo(8)) code.push(...set(v + i, get(cv + i)));
  for (const i of upTo(4)) {
    const iv = IV[i]!;
    code.push(...set(v + 8 + i, v128.words([iv, iv, iv, iv])));
  }
  const first = i32.select(get(firstFlag), constant(0), i32.isZero(get(block)));
  const isLast = i32.equal(i32.add(get(block), constant(1)), get(blocks));
  const last = i32.select(get(lastFlag), constant(0), isLast);
  code.push(...set(v + 12, get(counters)), ...set(v + 13, v128.words([0, 0, 0, 0])));
  code.push(...set(v + 14, v128.words([64, 64, 64, 64])));
  code.push(...set(v + 15, v128.splat(i32.or(get(flags), i32.or(first, last)))));
  code.push(...rounds(fourLanes, v, m));
  for (const i of upTo(8)) code.push(...set(cv + i, v128.xor(get(v + i), get(v + 8 + i))));
  for (const i of upTo(4)) code.push(...set(row + i, i32.add(get(row + i), constant(64))));
  code.push(...set(block, i32.add(get(block), constant(1))));
  code.push(...i32.sub(get(blocks), get(block)), 0x0d, 0, END);
  for (const half of [0, 4]) {
    const columns = upTo(4).map((i) => get(cv + half + i));
    code.push(
      ...transpose(
        columns,
        upTo(4).map((i) => m + half + i),
        t,
      ),
    );
  }
  for (const lane of upTo(4)) {
    code.push(...v128.store(get(out), 32 * lane, get(m + lane)));
    code.push(...v128.store(get(out), 32 * lane + 16, get(m + 4 + lane)));
  }
  return functionBody(
    [
      [5, I32],
      [counters + 1 - cv, V128],
    ],
    code,
  );
}

function oneBody(): Expression {
  const [cv, block, blockBytes, counter, flags, out] = upTo(6) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const v = 6;
  const m = v + 16;
  const code: number[] = [];
  for (const i of upTo(16)) code.push(...set(m + i, i32.load(get(block), 4 * i)));
  for (const i of upTo(8)) code.push(...set(v + i, i32.load(get(cv), 4 * i)));
  for (const i of upTo(4)) code.push(...set(v + 8 + i, constant(IV[i]!)));
  code.push(...set(v + 12, get(counter)), ...set(v + 13, constant(0)));
  code.push(...set(v + 14, get(blockBytes)), ...set(v + 15, get(flags)));
  code.push(...rounds(oneLane, v, m));
  for (const i of upTo(8)) code.push(...i32.store(get(out), 4 * i, i32.xor(get(v + i), get(v + 8 + i))));
  return functionBody([[32, I32]], code);
}

function functionBody(locals: readonly (readonly [number, number])[], code: Expression): Expression {
  const head = [...unsigned(locals.length), ...locals.flatMap(([count, type]) => [...unsigned(count), type])];
  return [...unsigned(head.length + code.length + 1), ...head, ...code, END];
}

function section(id: number, entries: readonly Expression[]): number[] {
  const content = [...unsigned(entries.length), ...entries.flat()];
  return [id, ...unsigned(content.length), ...content];
}

const name = (text: string): Expression => [text.length, ...upTo(text.length).map((i) => text.charCodeAt(i))];
const procedure = (parameters: number): Expression => [
  0x60,
  parameters,
  ...upTo(parameters).map(() => I32),
  0,
];

/** The module's bytes; without `simd` it has no `many`. */
export function blake3Module(simdToo: boolean): Uint8Array<ArrayBuffer> {
  const functions = [
    { name: "one", type: procedure(6), body: oneBody() },
    ...(simdToo ? [{ name: "many", type: procedure(9), body: manyBody() }] : []),
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      functions.map(({ type }) => type),
    ),
    ...section(
      3,
      functions.map((_, i) => [i]),
    ),
    ...section(5, [[1, MEMORY_PAGES, MEMORY_PAGES]]),
    ...section(7, [[...name("memory"), 2, 0], ...functions.map((each, i) => [...name(each.name), 0, i])]),
    ...section(
      10,
      functions.map(({ body }) => body),
    ),
  ]);
}
