/** SQLite's numbers that the VFS speaks; values are part of SQLite's stable interface (sqlite3.h). */

export const OK = 0;
export const ERROR = 1;
export const ABORT = 4;
export const BUSY = 5;
export const LOCKED = 6;
export const NOMEM = 7;
export const READONLY = 8;
export const INTERRUPT = 9;
export const IOERR = 10;
export const CORRUPT = 11;
export const NOTFOUND = 12;
export const FULL = 13;
export const CANTOPEN = 14;
export const SCHEMA = 17;
export const TOOBIG = 18;
export const CONSTRAINT = 19;
export const MISUSE = 21;
export const NOTADB = 26;
export const ROW = 100;
export const DONE = 101;

export const BUSY_SNAPSHOT = 517;
export const IOERR_READ = 266;
export const IOERR_SHORT_READ = 522;
export const IOERR_WRITE = 778;
export const IOERR_FSYNC = 1034;
export const IOERR_TRUNCATE = 1546;
export const IOERR_FSTAT = 1802;
export const IOERR_UNLOCK = 2058;
export const IOERR_CHECKRESERVEDLOCK = 3594;
export const IOERR_LOCK = 3850;
export const IOERR_CLOSE = 4106;
export const IOERR_DATA = 8202;

export const OPEN_READONLY = 0x1;
export const OPEN_READWRITE = 0x2;
export const OPEN_CREATE = 0x4;
export const OPEN_MAIN_DB = 0x100;
export const OPEN_SUPER_JOURNAL = 0x4000;

/** Levels of xLock and xUnlock. */
export const LOCK_NONE = 0;
export const LOCK_SHARED = 1;
export const LOCK_RESERVED = 2;

/** What xFileControl is asked. */
export const FCNTL_FILE_POINTER = 7;
export const FCNTL_PRAGMA = 14;
export const FCNTL_SYNC = 21;
export const FCNTL_COMMIT_PHASETWO = 22;

/** What xDeviceCharacteristics answers: nothing here is ever torn, and writes never overtake one another. */
export const IOCAP_SAFE_APPEND = 0x200;
export const IOCAP_SEQUENTIAL = 0x400;
export const IOCAP_POWERSAFE_OVERWRITE = 0x1000;

/** Types of column values. */
export const INTEGER = 1;
export const FLOAT = 2;
export const TEXT = 3;
export const BLOB = 4;
