import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  defined,
  lsnOrTimeFrom0,
  nonEmpty,
  type PastPoint,
  pointsText,
  positive,
  withStore,
} from "../options.ts";
import { facts } from "../output.ts";
import type { Session } from "../session.ts";
import type { Verb } from "../verb.ts";

interface ForkOptions extends CommonOptions {
  readonly as?: string;
  readonly at?: PastPoint;
}

interface RebaseOptions extends CommonOptions {
  readonly onto?: number;
}

/** `pagefold fork NAME --as TAG`: a new volume that shares a state of another. */
export const forkVerb: Verb = (program, run) => {
  withStore(program.command("fork"))
    .description("start a new volume that shares the pages of this one; nothing is copied")
    .argument("<name>", "tag or volume id", nonEmpty)
    .requiredOption("--as <tag>", "the new volume's name", nonEmpty)
    .option("--at <lsn|time>", `from this state: ${pointsText}`, lsnOrTimeFrom0)
    .action((name: string, options: ForkOptions) =>
      run(options, (session) => makeFork(session, name, options)),
    );
};

/** `pagefold promote FORK`: what a fork changed becomes one commit of its parent. */
export const promoteVerb: Verb = (program, run) => {
  withStore(program.command("promote"))
    .description("put what a fork changed on top of its parent, as one commit")
    .argument("<fork>", "tag or volume id", nonEmpty)
    .action((name: string, options: CommonOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const progress = session.progress("promote", "pages");
        const { signal } = session;
        const { promoted, ...result } = await store.promote(name, { signal, onProgress: progress.update });
        const talk = promoted ? undefined : "its parent has all of it already";
        return { json: { ...result, promoted }, text: facts(result), ...defined({ talk }) };
      }),
    );
};

/** `pagefold rebase FORK --onto LSN`: a fork goes on from a later state of its parent. */
export const rebaseVerb: Verb = (program, run) => {
  withStore(program.command("rebase"))
    .description(
      "put a fork on a later state of its parent: a new fork with its changes, which takes its tags over",
    )
    .argument("<fork>", "tag or volume id", nonEmpty)
    .option("--onto <lsn>", "the parent's commit; default: its newest", positive)
    .action((name: string, options: RebaseOptions) =>
      run(options, (session) => rebaseFork(session, name, options)),
    );
};

async function makeFork(session: Session, name: string, options: ForkOptions) {
  const { signal } = session;
  const { as: tag, at } = options;
  const store = await session.openStore(options);
  const parent = await store.volume(name, { signal });
  if (at !== undefined) await learnPoints(session, parent, [at]);
  const lsn = at instanceof Date ? await parent.lsnAt(at, { signal }) : at;
  const fork = await store.fork(parent.id, { ...defined({ tag, lsn }), signal });
  const result = { volume: fork.id, tag, parent: parent.id, lsn: fork.status().lsn };
  return { json: result, text: facts(result) };
}

async function rebaseFork(session: Session, name: string, { onto, ...options }: RebaseOptions) {
  const { signal } = session;
  const store = await session.openStore(options);
  const progress = session.progress("rebase", "pages");
  const { old, tags, ...result } = await store.rebase(name, {
    ...defined({ onto }),
    signal,
    onProgress: progress.update,
  });
  const talk =
    old === undefined
      ? "it is there already"
      : `the old fork, ${old}, is of no more use: pagefold delete ${old} --confirm ${old}`;
  return {
    json: { ...result, tags, old: old ?? null },
    text: facts({ ...result, tags: tags.join(" ") || undefined }),
    talk,
  };
}
