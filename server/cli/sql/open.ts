/** From the options of `pagefold sql` to an open database. */
import { type BridgeKind, Database } from "../../../vfs/index.ts";
import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  defined,
  type LocalOption,
  type PastOptions,
  type PastPoint,
  pastPoint,
} from "../options.ts";
import type { Session } from "../session.ts";
import type { Mode } from "./modes.ts";
import type { Parameter } from "./parameters.ts";
import { SqlSession } from "./sql-session.ts";

export interface SqlOptions extends CommonOptions, LocalOption, PastOptions {
  readonly file?: readonly string[];
  readonly param: readonly Parameter[];
  readonly mode?: Mode;
  readonly push: boolean;
  readonly readOnly?: true;
  readonly create?: true;
  readonly bridge?: BridgeKind;
}

/** A commit that goes nowhere would be lost: without a local directory, `--no-push` is for reading. */
export function mayWrite(options: SqlOptions): boolean {
  return options.readOnly !== true && (options.push || options.local !== undefined);
}

/** @param fixed the past state to open, instead of the newest */
export async function openDatabase(
  session: Session,
  name: string,
  options: SqlOptions,
  fixed: PastPoint | undefined,
): Promise<SqlSession> {
  const { store, endpoint, region, local, create, bridge } = options;
  const auth = process.env.PAGEFOLD_TOKEN;
  const database = await Database.open({ url: store, ...defined({ endpoint, region, auth, create }) }, name, {
    ...defined({ local: local === undefined ? undefined : { path: local }, create, bridge }),
    ...(typeof fixed === "number" ? { lsn: fixed } : {}),
    ...(fixed instanceof Date ? { time: fixed.getTime() } : {}),
    readOnly: !mayWrite(options),
    signal: session.signal,
  });
  session.onEnd(() => database.close());
  const { volume } = await database.status();
  return new SqlSession(database, {
    volume,
    pullsBeforeWriting: local !== undefined && options.push && mayWrite(options),
    talk: (line) => session.output.talk(`pagefold: ${line}`),
  });
}

/** Learns of commits that the local replica has not seen, where the past state that is asked for may be among them. */
export async function learnPast(session: Session, name: string, options: SqlOptions): Promise<void> {
  const point = pastPoint(options);
  if (point === undefined || options.local === undefined) return;
  const store = await session.openStore(options);
  try {
    await learnPoints(session, await store.volume(name, { signal: session.signal }), [point]);
  } finally {
    await store.close();
  }
}
