/**
 * A wasm module of small functions that stand between SQLite and JavaScript. Each calls a *fast* function first, which is synchronous and
 * answers at once or `MISS`, and only on a miss a *slow* one: under a blocking bridge that is a function which blocks, under a suspending
 * one an import wrapped in `WebAssembly.Suspending`, so that what is resident never pays for suspension. 64-bit offsets, which would arrive in
 * JavaScript as a BigInt made for each call, arrive as numbers (exact up to 2^53). `access` and `characteristics` never leave wasm, and `run`
 * steps a statement to its end in one call, with a JavaScript function called per row.
 */
import { MISS } from "./vfs-file.ts";

export type Method = (...args: number[]) => number;
/** May answer a promise where the bridge suspends. */
export type SlowMethod = (...args: number[]) => number | Promise<number>;

/** The methods that may have to wait, with their parameters in wasm: i a 32-bit, j a 64-bit integer. */
export const METHODS = {
  read: "iiij",
  write: "iiij",
  truncate: "ij",
  lock: "ii",
  fileControl: "iii",
  open: "iiiii",
  sleep: "ii",
  progress: "i",
} as const;

export type MethodName = keyof typeof METHODS;

export interface ThunkParts {
  readonly fast: Readonly<Record<MethodName, Method>>;
  readonly slow: Readonly<Record<MethodName, SlowMethod>>;
  /** Whether slow methods answer promises. */
  readonly suspending: boolean;
  readonly memory: WebAssembly.Memory;
  /** SQLite's own `sqlite3_step`. */
  readonly step: CallableFunction;
  /** Called for each row that `run` comes to: 0 to go on, anything else to stop there. */
  readonly row: (statement: number) => number;
  /** What every file's xDeviceCharacteristics answers. */
  readonly characteristics: number;
}

export type Thunks = Readonly<Record<MethodName | "access" | "characteristics" | "run", CallableFunction>>;

/** As `WebAssembly` has it where it can suspend; TypeScript's library does not know it yet. */
interface StackSwitching {
  readonly Suspending: new (work: SlowMethod) => WebAssembly.ImportValue;
  readonly promising: (work: CallableFunction) => (...args: number[]) => Promise<number>;
}

/** Whether this runtime can suspend wasm (JSPI). */
export function canSuspend(): boolean {
  return "Suspending" in WebAssembly && "promising" in WebAssembly;
}

/** An export that may be suspended: it answers a promise. */
export function promising(work: CallableFunction): (...args: number[]) => Promise<number> {
  return (WebAssembly as unknown as StackSwitching).promising(work);
}

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;
const FUNCTION = 0;
const MEMORY = 2;
const ROW = 100;

const names = Object.keys(METHODS) as MethodName[];

/** The module's functions, to be installed as methods. */
export function makeThunks(parts: ThunkParts): Thunks {
  const imports: Record<string, WebAssembly.ImportValue> = {
    memory: parts.memory,
    step: parts.step,
    row: parts.row,
  };
  for (const name of names) {
    imports[`fast-${name}`] = parts.fast[name];
    const slow = parts.slow[name];
    imports[`slow-${name}`] = parts.suspending
      ? new (WebAssembly as unknown as StackSwitching).Suspending(slow)
      : slow;
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(parts.characteristics)), {
    j: imports,
  });
  return exports as unknown as Thunks;
}

const leb = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...leb(Math.floor(n / 128))]);
/** Signed, for i32.const. */
const sleb = (n: number): number[] => {
  const byte = n & 127;
  const rest = n >> 7;
  const last = (rest === 0 && (byte & 64) === 0) || (rest === -1 && (byte & 64) !== 0);
  return last ? [byte] : [byte | 128, ...sleb(rest)];
};
const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
const section = (id: number, body: readonly number[]): number[] => [id, ...leb(body.length), ...body];
const text = (s: string): number[] => vector([...s].map((letter) => [letter.charCodeAt(0)]));
const functionType = (parameters: readonly number[]): number[] => [
  0x60,
  ...vector(parameters.map((p) => [p])),
  1,
  I32,
];
const body = (locals: readonly number[], ...code: number[]): number[] => {
  const all = [...locals, ...code, 0x0b];
  return [...leb(all.length), ...all];
};
const NO_LOCALS = [0];
/** One i32 besides the parameters. */
const ONE_LOCAL = [1, 1, I32];
const local = { get: (i: number) => [0x20, i], set: (i: number) => [0x21, i], tee: (i: number) => [0x22, i] };
const call = (i: number): number[] => [0x10, ...leb(i)];
const i32 = (n: number): number[] => [0x41, ...sleb(n)];
const EQUAL = 0x46;
const NOT_EQUAL = 0x47;
const FLOAT_FROM_I64 = 0xb9;

function moduleBytes(characteristics: number): Uint8Array<ArrayBuffer> {
  const types: number[][] = [];
  const typeOf = (parameters: readonly number[]): number => types.push(functionType(parameters)) - 1;
  const imported: number[][] = [];
  let functions = 0;
  const importFunction = (name: string, parameters: readonly number[]): number => {
    imported.push([...text("j"), ...text(name), FUNCTION, ...leb(typeOf(parameters))]);
    return functions++;
  };
  const step = importFunction("step", [I32]);
  const row = importFunction("row", [I32]);
  const methods = names.map((name) => {
    const letters = [...METHODS[name]];
    const seen = letters.map((letter) => (letter === "j" ? F64 : I32));
    const pass = letters.flatMap((letter, i) => [
      ...local.get(i),
      ...(letter === "j" ? [FLOAT_FROM_I64] : []),
    ]);
    return {
      name,
      own: letters.map((letter) => (letter === "j" ? I64 : I32)),
      pass,
      fast: importFunction(`fast-${name}`, seen),
      slow: importFunction(`slow-${name}`, seen),
      result: letters.length,
    };
  });
  imported.push([...text("j"), ...text("memory"), MEMORY, 0, 0]);

  const defined: { name: string; type: number; code: number[] }[] = methods.map((m) => ({
    name: m.name,
    type: typeOf(m.own),
    code: body(
      ONE_LOCAL,
      ...[...m.pass, ...call(m.fast), ...local.tee(m.result), ...i32(MISS), EQUAL],
      // if (result i32) slow(…) else the answer
      ...[0x04, I32, ...m.pass, ...call(m.slow), 0x05, ...local.get(m.result), 0x0b],
    ),
  }));
  defined.push({
    name: "access",
    type: typeOf([I32, I32, I32, I32]),
    // There is no such file: *pResOut = 0; return OK
    code: body(NO_LOCALS, ...local.get(3), ...i32(0), 0x36, 2, 0, ...i32(0)),
  });
  defined.push({
    name: "characteristics",
    type: typeOf([I32]),
    code: body(NO_LOCALS, ...i32(characteristics)),
  });
  defined.push({
    name: "run",
    type: typeOf([I32]),
    code: body(
      ONE_LOCAL,
      // loop { code = step(); if (code != ROW) return code; if (row() != 0) return ROW }
      ...[0x03, 0x40, ...local.get(0), ...call(step), ...local.tee(1), ...i32(ROW), NOT_EQUAL],
      ...[0x04, 0x40, ...local.get(1), 0x0f, 0x0b],
      ...[...local.get(0), ...call(row), 0x45, 0x0d, 0, 0x0b, ...i32(ROW)],
    ),
  });
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, vector(imported)),
    ...section(3, vector(defined.map(({ type }) => leb(type)))),
    ...section(7, vector(defined.map(({ name }, i) => [...text(name), FUNCTION, ...leb(functions + i)]))),
    ...section(10, vector(defined.map(({ code }) => code))),
  ]);
}
