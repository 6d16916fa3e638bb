/**
 * Appends to the log in the directory argv[2] until it is killed. Records count up from where the log ends; "ack N" is printed after the
 * flush that makes record N durable. Every so often the log is rewritten to its last records.
 */
import * as fs from "node:fs";
import { systemRuntime } from "../../src/base/runtime.ts";
import { RecordLog, type RecordRef } from "../../src/local/record-log.ts";
import { FsBlockFileSystem } from "../../src/node/fs-block-file.ts";
import { acquireProcessLock } from "../../src/node/process-lock.ts";
import { payloadOf } from "../local/log-fixture.ts";
import { xxh64 } from "../local/xxh64.ts";

const directory = process.argv[2] as string;
await acquireProcessLock(directory);
const kept: { id: number; ref: RecordRef }[] = [];
const log = await RecordLog.open(new FsBlockFileSystem(directory), {
  xxh64,
  runtime: systemRuntime,
  extentBytes: 64 * 1024,
  visit: (_type, payload, ref) => kept.push({ id: idOf(payload), ref }),
});

function idOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset, 8).getFloat64(0);
}

for (let id = (kept.at(-1)?.id ?? 0) + 1; ; id++) {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setFloat64(0, id);
  kept.push({ id, ref: log.append(1, [head, payloadOf(id, (id * 389) % 9000)]) });
  if (id % 3 !== 0) continue;
  log.flush();
  fs.writeSync(1, `ack ${id}\n`);
  if (kept.length > 60) {
    const old = kept.splice(0);
    log.rewrite((append) => {
      for (const { id, ref } of old.slice(-20)) {
        const bytes = new Uint8Array(ref.length);
        log.read(ref, 0, bytes);
        kept.push({ id, ref: append(1, [bytes]) });
      }
    });
  }
}
