/**
 * The smallest VFS that lets sqlite-wasm work on a real file in Node: synchronous, one connection, no locks, no journal. For
 * generating benchmark databases larger than the wasm heap, and for nothing else.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

/** Registers the VFS as "node-fs"; open databases as `file:PATH?vfs=node-fs`. */
export function installFsVfs(sqlite3) {
  const { capi, wasm } = sqlite3;
  const files = new Map();
  const OK = 0;

  const guarded =
    (code, body) =>
    (...args) => {
      try {
        return body(...args) ?? OK;
      } catch {
        return code;
      }
    };

  const ioMethods = new capi.sqlite3_io_methods();
  ioMethods.$iVersion = 1;
  const io = {
    xClose: guarded(capi.SQLITE_IOERR_CLOSE, (pFile) => {
      closeSync(files.get(pFile));
      files.delete(pFile);
    }),
    xRead: guarded(capi.SQLITE_IOERR_READ, (pFile, pDest, n, offset) => {
      const into = wasm.heap8u().subarray(pDest, pDest + n);
      const read = readSync(files.get(pFile), into, 0, n, Number(offset));
      if (read === n) return OK;
      into.fill(0, read);
      return capi.SQLITE_IOERR_SHORT_READ;
    }),
    xWrite: guarded(capi.SQLITE_IOERR_WRITE, (pFile, pSource, n, offset) => {
      const written = writeSync(
        files.get(pFile),
        wasm.heap8u().subarray(pSource, pSource + n),
        0,
        n,
        Number(offset),
      );
      return written === n ? OK : capi.SQLITE_FULL;
    }),
    xTruncate: guarded(capi.SQLITE_IOERR_TRUNCATE, (pFile, size) =>
      ftruncateSync(files.get(pFile), Number(size)),
    ),
    xSync: () => OK,
    xFileSize: guarded(capi.SQLITE_IOERR_FSTAT, (pFile, pSize) => {
      wasm.poke(pSize, BigInt(fstatSync(files.get(pFile)).size), "i64");
    }),
    xLock: () => OK,
    xUnlock: () => OK,
    xCheckReservedLock: (_pFile, pOut) => {
      wasm.poke(pOut, 0, "i32");
      return OK;
    },
    xFileControl: () => capi.SQLITE_NOTFOUND,
    xSectorSize: () => 4096,
    xDeviceCharacteristics: () => 0,
  };

  const vfsStruct = new capi.sqlite3_vfs();
  const standard = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null));
  vfsStruct.$iVersion = 1;
  vfsStruct.$szOsFile = capi.sqlite3_file.structInfo.sizeof;
  vfsStruct.$mxPathname = 1024;
  vfsStruct.$xRandomness = standard.$xRandomness;
  vfsStruct.$xSleep = standard.$xSleep;
  vfsStruct.$xCurrentTime = standard.$xCurrentTime;
  standard.dispose();
  const vfs = {
    xOpen: guarded(capi.SQLITE_CANTOPEN, (_pVfs, zName, pFile, flags, pOutFlags) => {
      const readOnly = (flags & capi.SQLITE_OPEN_READONLY) !== 0;
      const path = wasm.cstrToJs(zName);
      // Opened for writing without O_APPEND; created when absent.
      files.set(pFile, openSync(path, readOnly ? "r" : openFlagsForWriting(path)));
      const file = new capi.sqlite3_file(pFile);
      file.$pMethods = ioMethods.pointer;
      file.dispose();
      if (pOutFlags) wasm.poke(pOutFlags, flags, "i32");
    }),
    xDelete: () => OK,
    xAccess: (_pVfs, _zName, _flags, pOut) => {
      wasm.poke(pOut, 0, "i32");
      return OK;
    },
    xFullPathname: (_pVfs, zName, n, pOut) => (wasm.cstrncpy(pOut, zName, n) < n ? OK : capi.SQLITE_CANTOPEN),
    xGetLastError: () => OK,
  };
  sqlite3.vfs.installVfs({
    io: { struct: ioMethods, methods: io },
    vfs: { struct: vfsStruct, methods: vfs, name: "node-fs" },
  });
}

function openFlagsForWriting(path) {
  try {
    closeSync(openSync(path, "r"));
    return "r+";
  } catch {
    return "w+";
  }
}
