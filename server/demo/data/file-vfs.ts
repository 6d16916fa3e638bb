/**
 * The smallest VFS with which sqlite-wasm writes a real file in Node, so that a database larger than its memory can be generated: one
 * connection, no locks, no journal. For generated files only, which are thrown away when anything goes wrong.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";

export const FILE_VFS = "pagefold-demo-file";

/** Lets `sqlite3` open `file:PATH?vfs=…` for writing; an existing file is emptied. */
export function installFileVfs(sqlite3: Sqlite3Static): void {
  const { capi, wasm } = sqlite3;
  const files = new Map<number, number>();
  const descriptor = (file: number): number => files.get(file) as number;
  const guarded =
    <Args extends unknown[]>(code: number, work: (...args: Args) => number | undefined) =>
    (...args: Args): number => {
      try {
        return work(...args) ?? capi.SQLITE_OK;
      } catch {
        // What went wrong with the file, SQLite says by this code; an exception must not pass through it.
        return code;
      }
    };
  const done = (): number => capi.SQLITE_OK;
  const methods = {
    xClose: guarded(capi.SQLITE_IOERR_CLOSE, (file: number) => {
      closeSync(descriptor(file));
      files.delete(file);
      return undefined;
    }),
    xRead: guarded(
      capi.SQLITE_IOERR_READ,
      (file: number, into: number, length: number, offset: number | bigint) => {
        const bytes = wasm.heap8u().subarray(into, into + length);
        const read = readSync(descriptor(file), bytes, 0, length, Number(offset));
        if (read === length) return undefined;
        bytes.fill(0, read);
        return capi.SQLITE_IOERR_SHORT_READ;
      },
    ),
    xWrite: guarded(
      capi.SQLITE_IOERR_WRITE,
      (file: number, from: number, length: number, offset: number | bigint) => {
        const bytes = wasm.heap8u().subarray(from, from + length);
        return writeSync(descriptor(file), bytes, 0, length, Number(offset)) === length
          ? undefined
          : capi.SQLITE_FULL;
      },
    ),
    xTruncate: guarded(capi.SQLITE_IOERR_TRUNCATE, (file: number, size: number | bigint) => {
      ftruncateSync(descriptor(file), Number(size));
      return undefined;
    }),
    xSync: done,
    xFileSize: guarded(capi.SQLITE_IOERR_FSTAT, (file: number, into: number) => {
      wasm.poke64(into, fstatSync(descriptor(file)).size);
      return undefined;
    }),
    xLock: done,
    xUnlock: done,
    xCheckReservedLock: (_file: number, into: number) => {
      wasm.poke(into, 0, "i32");
      return capi.SQLITE_OK;
    },
    xFileControl: () => capi.SQLITE_NOTFOUND,
    xSectorSize: () => 4096,
    xDeviceCharacteristics: () => 0,
  };
  const io = new capi.sqlite3_io_methods();
  Object.assign(io, { $iVersion: 1 });
  const vfs = vfsLikeTheDefault(sqlite3);
  // The package's types want each result to be a literal of its list of result codes.
  const register = sqlite3.vfs.installVfs as (structs: object) => unknown;
  register({
    io: { struct: io, methods },
    vfs: {
      struct: vfs,
      name: FILE_VFS,
      methods: {
        xOpen: guarded(
          capi.SQLITE_CANTOPEN,
          (_vfs: number, name: number, file: number, flags: number, flagsOut: number) => {
            files.set(file, openSync(wasm.cstrToJs(name) as string, "w+"));
            const struct = new capi.sqlite3_file(file);
            struct.$pMethods = io.pointer;
            struct.dispose();
            if (flagsOut !== 0) wasm.poke(flagsOut, flags, "i32");
            return undefined;
          },
        ),
        xDelete: done,
        xAccess: (_vfs: number, _name: number, _flags: number, into: number) => {
          wasm.poke(into, 0, "i32");
          return capi.SQLITE_OK;
        },
        xFullPathname: (_vfs: number, name: number, length: number, into: number) =>
          wasm.cstrncpy(into, name, length) < length ? capi.SQLITE_OK : capi.SQLITE_CANTOPEN,
        xGetLastError: done,
      },
    },
  });
}

function vfsLikeTheDefault({ capi }: Sqlite3Static) {
  const vfs = new capi.sqlite3_vfs();
  const standard = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null));
  vfs.$iVersion = 1;
  vfs.$szOsFile = (capi.sqlite3_file as unknown as { structInfo: { sizeof: number } }).structInfo.sizeof;
  vfs.$mxPathname = 1024;
  for (const member of ["$xRandomness", "$xSleep", "$xCurrentTime"]) {
    const pointer = (standard as unknown as Record<string, number>)[member];
    Object.assign(vfs, { [member]: pointer });
  }
  standard.dispose();
  return vfs;
}
