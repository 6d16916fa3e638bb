/** From the options of `pagefold sql` to an open database. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import { type BridgeKind, Database } from "../../../vfs/index.ts";
import { type CommonOptions, defined, type LocalOption, type PastPoint } from "../options.ts";
import type { Session } from "../session.ts";
import type { Mode } from "./modes.ts";
import type { Parameter } from "./parameters.ts";
import { SqlSession } from "./sql-session.ts";

export interface SqlOptions extends CommonOptions, LocalOption {
  readonly file?: readonly string[];
  readonly param: readonly Parameter[];
  readonly mode?: Mode;
  readonly push: boolean;
  readonly lsn?: number;
  readonly at?: PastPoint;
  readonly readOnly?: true;
  readonly create?: true;
  readonly bridge?: BridgeKind;
}

/** The past state that is asked for. */
export function pastPoint({ at, lsn }: SqlOptions): PastPoint | undefined {
  return at ?? lsn;
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

/** Which commit was the newest at some time, only the log can tell: a replica learns of commits that it has not seen. */
export async function learnTimes(session: Session, name: string, options: SqlOptions): Promise<void> {
  if (!(options.at instanceof Date) || options.local === undefined) return;
  const { signal } = session;
  const store = await session.openStore(options);
  try {
    const volume = await store.volume(name, { signal });
    if (volume.status().ahead === 0) await volume.pull({ signal });
  } catch (error) {
    if (!isPagefoldError(error, "unavailable")) throw error;
    session.output.talk(`pagefold: ${error.message}; what follows is as far as the log is known here`);
  } finally {
    await store.close();
  }
}
