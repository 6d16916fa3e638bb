/** The few bytes of a SQLite file that importing must know (sqlite.org/fileformat.html, section 1.3). */

const MAGIC = "SQLite format 3\0";

export interface SqliteHeader {
  /** Bytes per page: a power of two from 512 to 65536. */
  readonly pageSize: number;
  readonly walMode: boolean;
  readonly changeCounter: number;
}

/** The header of a database, from its first 100 bytes; undefined when it is none. */
export function sqliteHeader(bytes: Uint8Array): SqliteHeader | undefined {
  if (bytes.length < 100) return undefined;
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC.charCodeAt(i)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stored = view.getUint16(16);
  const pageSize = stored === 1 ? 65_536 : stored;
  return { pageSize, walMode: bytes[18] === 2 || bytes[19] === 2, changeCounter: view.getUint32(24) };
}
