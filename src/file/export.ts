/** A volume becomes a file: every page once, in any order, into a sink that takes bytes at offsets; proved by the state checksum. */
import type { StateChecksum } from "../base/brand.ts";
import { StateChecksumSum } from "../format/checksum.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { checkState } from "../replicate/hydrate.ts";
import { readState } from "../replicate/read-state.ts";
import type { LocalCommits } from "../volume/local-commits.ts";
import type { PageTable } from "../volume/page-table.ts";
import type { RemoteState } from "../volume/remote-state.ts";

/** Takes the bytes; what is never written reads as zeros. */
export interface ByteSink {
  /** Called once, first: the exact size. */
  resize(bytes: number): Promise<void>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

export interface ExportOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/** What to export: a remote state, with local commits laid over it or not. */
export interface ExportedState {
  readonly remote: RemoteState;
  readonly table: PageTable;
  readonly pageCount: number;
  readonly byteLength: number;
  readonly commits: LocalCommits;
}

export interface ExportResult {
  readonly bytes: number;
  readonly lsn: number;
  /** Of what was written, computed from the bytes; equals the commit's unless there were local commits. */
  readonly stateChecksum: StateChecksum;
}

/** @throws `corrupt` when a frame is bad or the pages do not add up to the commit's state checksum. */
export async function exportState(
  context: ReplicaContext,
  state: ExportedState,
  sink: ByteSink,
  options: ExportOptions = {},
): Promise<ExportResult> {
  const { pageSize } = context.replica.manifest;
  const sum = new StateChecksumSum();
  await sink.resize(state.byteLength);
  await readState(
    context,
    state,
    async (ranges) => {
      for (const { pages, bytes, digests } of ranges) {
        sum.add(digests);
        for (const [from, to] of adjacent(pages)) {
          const offset = (pages[from]! - 1) * pageSize;
          const end = Math.min(offset + (to - from) * pageSize, state.byteLength);
          await sink.write(offset, bytes.subarray(from * pageSize, from * pageSize + (end - offset)));
        }
      }
    },
    {
      signal: options.signal,
      onProgress: (done, total) =>
        options.onProgress?.(
          total === 0 ? 0 : Math.round((state.byteLength * done) / total),
          state.byteLength,
        ),
    },
  );
  const { remote } = state;
  const stateChecksum = sum.value();
  if (state.commits.length === 0) checkState(context, remote.lsn, stateChecksum, remote.stateChecksum);
  return { bytes: state.byteLength, lsn: remote.lsn, stateChecksum };
}

/** Runs of adjacent pages as index ranges [from, to). */
function* adjacent(pages: Uint32Array): Generator<readonly [number, number]> {
  let from = 0;
  for (let i = 1; i <= pages.length; i++) {
    if (i < pages.length && pages[i] === pages[i - 1]! + 1) continue;
    yield [from, i];
    from = i;
  }
}
