/** Opens a RecordLog and collects what it visits, as texts that name their record. */
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { RecordLog, type RecordLogOptions, type RecordRef } from "../../src/local/record-log.ts";
import { seededRuntime, xxh64 } from "./xxh64.ts";

export interface OpenedLog {
  readonly log: RecordLog;
  /** "type:payload in latin1" of every record, in order. */
  readonly records: string[];
  readonly refs: RecordRef[];
}

let salts = 1;

export async function openLog(
  files: BlockFileSystem,
  options: Partial<RecordLogOptions> = {},
): Promise<OpenedLog> {
  const records: string[] = [];
  const refs: RecordRef[] = [];
  const log = await RecordLog.open(files, {
    xxh64,
    runtime: seededRuntime(salts++),
    extentBytes: 4096,
    ...options,
    visit: (type, payload, ref) => {
      records.push(recordText(type, payload));
      refs.push(ref);
    },
  });
  return { log, records, refs };
}

export function recordText(type: number, payload: Uint8Array): string {
  return `${type}:${Buffer.from(payload).toString("latin1")}`;
}

/** `length` bytes that differ for every `id`. */
export function payloadOf(id: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (id * 97 + i * (id + 3) + (i >> 7)) & 0xff;
  for (const [i, c] of [...`#${id}`].entries()) if (i < length) bytes[i] = c.charCodeAt(0);
  return bytes;
}

/** Reads a whole payload back. */
export function readRef(log: RecordLog, ref: RecordRef): Uint8Array {
  const into = new Uint8Array(ref.length);
  log.read(ref, 0, into);
  return into;
}
