/**
 * Which layer may import which, as data and one pure function. A layer is a folder; imports point downward only.
 */

/** For each layer of the core, the layers below it that it may import (besides itself). */
const core = (() => {
  const base: string[] = [];
  const format = ["src/base"];
  const ground = [...format, "src/format"];
  const volume = [...ground, "src/remote", "src/local"];
  const replicate = [...volume, "src/volume"];
  const history = [...replicate, "src/replicate"];
  const file = [...history, "src/history"];
  const store = [...file, "src/file"];
  const inspect = [...store, "src/store"];
  return {
    "src/base": base,
    "src/format": format,
    "src/remote": ground,
    "src/local": ground,
    "src/volume": volume,
    "src/replicate": replicate,
    "src/history": history,
    "src/file": file,
    "src/store": store,
    "src/inspect": inspect,
  } as const;
})();

export const coreLayers: readonly string[] = Object.keys(core);

const wholeCore = [...coreLayers, "src/index.ts"];

const allowed: Readonly<Record<string, readonly string[]>> = {
  ...core,
  "src/index.ts": coreLayers,
  "src/node": wholeCore,
  "src/browser": wholeCore,
  vfs: wholeCore,
  "vfs/adapters": [...wholeCore, "vfs"],
  server: [...wholeCore, "src/node", "vfs"],
};

/** The only files of vfs/ that may reach into src/node: where the engine is opened inside a worker, and the worker is started. */
const vfsFilesOnNode = /^vfs\/worker\/(node-worker|open-engine|[a-z-]*launch[a-z-]*)\.ts$/;
/** And those that may reach into src/browser. */
const vfsFilesOnBrowser = /^vfs\/(web\/.*|(worker\/)?browser[a-z-]*\.ts$)/;

/** The layer that a source file belongs to, or undefined when it lies in none. */
export function layerOf(file: string): string | undefined {
  if (file === "src/index.ts") return file;
  const [top, second, ...rest] = file.split("/");
  if (top === "vfs" && second === "adapters") return "vfs/adapters";
  if (top === "vfs" || top === "server") return top;
  if (top === "src" && rest.length > 0 && second !== undefined && `src/${second}` in allowed)
    return `src/${second}`;
  return undefined;
}

/** Why `importer` may not import `imported` (both paths from the root), or undefined when it may. */
export function importProblem(importer: string, imported: string): string | undefined {
  // The command tells its version.
  if (importer.startsWith("server/") && imported === "package.json") return undefined;
  if (!imported.endsWith(".ts")) return "relative imports name the file with its .ts extension";
  const from = layerOf(importer);
  const to = layerOf(imported);
  if (from === undefined) return `${importer} lies in no layer`;
  if (to === undefined) return `${imported} lies in no layer`;
  if (from === to || allowed[from]?.includes(to)) return undefined;
  if (from === "vfs" && to === "src/node") {
    return vfsFilesOnNode.test(importer)
      ? undefined
      : "vfs/ reaches src/node only where a worker is started or opens the engine";
  }
  if (from === "vfs" && to === "src/browser" && vfsFilesOnBrowser.test(importer)) return undefined;
  return `${from} may not import ${to}: imports point downward only`;
}

/** Folders whose code runs on every platform. */
export function isPortable(file: string): boolean {
  return layerOf(file) !== undefined && file.startsWith("src/") && !/^src\/(node|browser)\//.test(file);
}

/** The one portable file that may touch the platform's clock, timers and randomness. */
export const runtimeFile = "src/base/runtime.ts";

/** Globals of the language and the few of the web that the core may use. */
export const portableGlobals: ReadonlySet<string> = new Set(
  (
    "undefined NaN Infinity globalThis Object Array Map Set WeakMap WeakSet WeakRef FinalizationRegistry Symbol Promise Proxy Reflect " +
    "Number BigInt Boolean String Math JSON Date RegExp Error TypeError RangeError AggregateError Intl Iterator Atomics " +
    "ArrayBuffer SharedArrayBuffer DataView Uint8Array Uint8ClampedArray Uint16Array Uint32Array Int8Array Int16Array Int32Array " +
    "Float32Array Float64Array BigInt64Array BigUint64Array isNaN isFinite parseInt parseFloat encodeURIComponent decodeURIComponent " +
    "const atob TextEncoder TextDecoder AbortSignal AbortController WebAssembly ReadableStream CompressionStream DecompressionStream"
  ).split(" "),
);

/** Types of a platform that the core may not even mention: a caller of another platform could not satisfy them. */
export const platformTypes: ReadonlySet<string> = new Set(
  (
    "Buffer NodeJS Response Request Headers RequestInit Blob File FileList Document Window Worker MessagePort MessageChannel " +
    "FileSystemHandle FileSystemFileHandle FileSystemSyncAccessHandle IDBDatabase Storage Navigator"
  ).split(" "),
);
