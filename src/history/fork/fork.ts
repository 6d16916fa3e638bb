/**
 * Forks: a new volume that shares its parent's state at one LSN by reference. The pin is created before the manifest, so that nobody deletes
 * what the fork needs; what was begun is remembered, so that running it again finishes it; local commits change hands in one record.
 */
import type { Hash, Lsn, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { newId } from "../../format/ids.ts";
import { forkKey, manifestKey } from "../../format/keys.ts";
import { FORK_PROOF, LIMITS } from "../../format/limits.ts";
import { decodeManifest, encodeManifest } from "../../format/manifest-codec.ts";
import type { Ancestor, Manifest } from "../../format/model.ts";
import type { ForkPlan } from "../../local/fork-records.ts";
import { assertWritable } from "../../remote/writable.ts";
import { confirmBase } from "../../replicate/confirm.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { stateOf } from "../../replicate/past.ts";
import { settlePush } from "../../replicate/push.ts";
import { hashOf } from "../../volume/remote-state.ts";
import type { Replica } from "../../volume/replica.ts";
import { floorToRelyOn, keepsLsn } from "../keep/rely.ts";

type Signal = { readonly signal?: AbortSignal };

export interface ForkOptions extends Signal {
  /** A name for the fork, which names nothing yet. */
  readonly tag?: string;
  /** The fork point: 0 … the LSN that the parent's replica stands on, which is the default. */
  readonly lsn?: number;
  /**
   * What becomes of the parent's local commits that were not pushed: "leave" (default), or "move": they are the fork's from then on, and the
   * parent is as after `reset`.
   */
  readonly localCommits?: "move" | "leave";
}

/** How tags are read and given, which is the store's business. */
export interface TagAccess {
  /** The volume that the tag names now. */
  resolve(tag: string): Promise<VolumeId | undefined>;
  /** @throws `conflict` when the tag names another volume */
  give(tag: string, volume: VolumeId): Promise<void>;
}

/** The commit from which a fork goes on; LSN 0 has no hash. */
interface ForkPoint {
  readonly lsn: Lsn;
  readonly hash: Hash | undefined;
}

/**
 * Makes a fork of the context's volume and follows it; the parent's unfinished push is finished first. A few requests, whatever the size of
 * the volume. Where `lsn` is not where the parent stands, the answer still has to be pulled to the fork point.
 * @throws `conflict` when the tag names a volume already, `not_found` for an LSN that the parent's replica has not seen, `invalid` to move local
 * commits to another LSN than theirs, `diverged` when the remote lost the history that the replica stands on
 */
export async function forkVolume(
  context: ReplicaContext,
  options: ForkOptions,
  tags: TagAccess,
): Promise<Replica> {
  return context.moves.run(async () => {
    await settlePush(context, options);
    await assertWritable(context.remote, context.runtime);
    await confirmHistory(context, options);
    const point = await pointOf(context, options);
    const plan = planFor(context, point, options.tag);
    const fork = decodeManifest(plan.manifest);
    await checkTag(plan, fork, tags);
    if (context.replica.state.forkPlan !== plan) context.log.planFork(context.replica, plan);
    await create(context, fork, plan.manifest, options);
    await nameFork(context, plan, fork, tags);
    // Writers wait meanwhile: a commit must not slip in between what the fork takes and what the parent keeps.
    return context.writers.run(async () => finish(context, plan, fork, options), options.signal);
  }, options.signal);
}

/** What a fork would build on must be in the store: it shares it by reference. */
async function confirmHistory(context: ReplicaContext, options: Signal): Promise<void> {
  try {
    await confirmBase(context, options);
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    const { volume } = context.replica.manifest;
    const { lsn } = context.replica.state.base;
    throw new PagefoldError(
      "diverged",
      `volume ${volume} cannot be forked at LSN ${lsn}: ${context.remote.url} lost that commit, and a fork shares it by reference; ` +
        "export the volume and import it as a new one",
      { cause: error, details: error.details },
    );
  }
}

async function pointOf(context: ReplicaContext, options: ForkOptions): Promise<ForkPoint> {
  const { base, commits } = context.replica.state;
  const lsn = options.lsn ?? base.lsn;
  if (options.localCommits === "move" && commits.length > 0 && lsn !== base.lsn) {
    throw new PagefoldError(
      "invalid",
      `the local commits of volume ${context.replica.manifest.volume} build on LSN ${base.lsn}, a fork at LSN ${lsn} cannot take them; ` +
        "fork where they are, or leave them",
      { details: { volume: context.replica.manifest.volume, lsn } },
    );
  }
  const state = lsn === base.lsn ? base : await stateOf(context, lsn, options);
  return state.lsn === 0 ? { lsn: state.lsn, hash: undefined } : { lsn: state.lsn, hash: hashOf(state) };
}

/** The same fork that was begun before and not finished, or a new one. */
function planFor(context: ReplicaContext, point: ForkPoint, tag: string | undefined): ForkPlan {
  const { replica, runtime, codecs } = context;
  const { manifest: parent } = replica;
  const ancestors = ancestorsAt(parent, point.lsn);
  const begun = replica.state.forkPlan;
  if (begun !== undefined && begun.tag === tag) {
    const known = decodeManifest(begun.manifest);
    if (known.forkHash === point.hash && sameAncestors(known.ancestors, ancestors)) return begun;
  }
  if (ancestors.length > LIMITS.ancestors) {
    throw new PagefoldError(
      "invalid",
      `volume ${parent.volume} is at the end of a chain of ${LIMITS.ancestors} forks, the longest there can be; export it and import it as a new volume`,
      { details: { volume: parent.volume } },
    );
  }
  const proof = point.hash === undefined ? {} : { forkHash: point.hash };
  const fork: Manifest = {
    ...proof,
    volume: newId(runtime) as VolumeId,
    features: { compatible: point.hash === undefined ? 0 : FORK_PROOF, incompatible: 0 },
    createdAt: runtime.now(),
    pageSize: parent.pageSize,
    digestSeed: parent.digestSeed,
    digestAlgorithm: parent.digestAlgorithm,
    ancestors,
    encryption: new Uint8Array(0),
  };
  return { tag, manifest: encodeManifest(fork, codecs.hash) };
}

/** The volumes under which the LSNs 1 … `lsn` of a volume live, the youngest first; those that hold none of them are left out. */
export function ancestorsAt(parent: Manifest, lsn: Lsn): readonly Ancestor[] {
  if (lsn === 0) return [];
  const family = [{ volume: parent.volume, lsn }, ...parent.ancestors];
  const owner = family.findLastIndex((each) => each.lsn >= lsn);
  return [{ volume: family[owner]!.volume, lsn }, ...family.slice(owner + 1)];
}

function sameAncestors(a: readonly Ancestor[], b: readonly Ancestor[]): boolean {
  return (
    a.length === b.length && a.every(({ volume, lsn }, i) => volume === b[i]!.volume && lsn === b[i]!.lsn)
  );
}

/** A tag that names something is told before anything is stored; one that names this very fork was given by the run that was cut off. */
async function checkTag({ tag }: ForkPlan, fork: Manifest, tags: TagAccess): Promise<void> {
  if (tag === undefined) return;
  const named = await tags.resolve(tag);
  if (named === undefined || named === fork.volume) return;
  throw new PagefoldError("conflict", `tag "${tag}" names volume ${named} already; give the fork another`, {
    details: { tag, volume: named },
  });
}

async function create(
  context: ReplicaContext,
  { volume, ancestors }: Manifest,
  manifest: Uint8Array,
  { signal }: Signal,
): Promise<void> {
  const { remote } = context;
  const options = signal === undefined ? {} : { signal };
  const put = { ifAbsent: true, ...options };
  const [direct] = ancestors;
  if (direct !== undefined) {
    await remote.put(forkKey(direct.volume, volume, direct.lsn), new Uint8Array(0), put);
    // A collection, or a purge, that looked for pins before this one was there has moved the floor; one that begins now sees the pin.
    await checkKept(context, direct, volume, options);
  }
  // "Exists": an earlier attempt came through, as nobody else knows the id.
  await remote.put(manifestKey(volume), manifest, put);
}

/** @throws `not_found` where nothing keeps the fork point any more; the pin is taken away again, unless an earlier run made the fork */
async function checkKept(
  context: ReplicaContext,
  { volume, lsn }: Ancestor,
  fork: VolumeId,
  options: Signal,
): Promise<void> {
  const { remote } = context;
  const floor = await floorToRelyOn(context, volume, lsn, options);
  if (floor === undefined || keepsLsn(floor, lsn)) return;
  if ((await remote.get(manifestKey(fork), options)) !== undefined) return;
  await remote.delete([forkKey(volume, fork, lsn)], options);
  if (floor.closed) {
    throw new PagefoldError(
      "not_found",
      `volume ${volume} was deleted for good meanwhile; nothing was forked: import what this side has of it as a new volume`,
      { details: { volume } },
    );
  }
  throw new PagefoldError(
    "not_found",
    `volume ${volume} cannot be forked at LSN ${lsn}: that was collected, the retention keeps everything from LSN ${floor.lsn} on; fork at a newer one`,
    { details: { volume, lsn, floor: floor.lsn } },
  );
}

async function nameFork(
  context: ReplicaContext,
  { tag }: ForkPlan,
  fork: Manifest,
  tags: TagAccess,
): Promise<void> {
  if (tag === undefined) return;
  try {
    await tags.give(tag, fork.volume);
  } catch (error) {
    // Another was faster: this fork will never have the name, so the next run begins another.
    if (isPagefoldError(error, "conflict")) context.log.planFork(context.replica, undefined);
    throw error;
  }
}

/** The fork is there: from one record on it is followed here, and has the local commits if it is to. */
function finish(context: ReplicaContext, plan: ForkPlan, fork: Manifest, options: ForkOptions): Replica {
  const { replica, log } = context;
  const { base, commits } = replica.state;
  const through = options.localCommits === "move" ? (commits.last?.sequence ?? 0) : 0;
  const followed = log.find(fork.volume);
  if (through > 0 && followed !== undefined && !isUntouched(followed, base.lsn)) {
    log.planFork(replica, undefined);
    throw new PagefoldError(
      "conflict",
      `fork ${fork.volume} of volume ${replica.manifest.volume} was begun earlier and has been changed since, so it cannot take the local commits, which are kept; run it again to fork anew`,
      { details: { volume: replica.manifest.volume, fork: fork.volume } },
    );
  }
  const made = log.addFork(replica, plan.manifest, fork.volume, through);
  context.onStatus();
  return made;
}

/** Whether a fork, opened before it was finished, still is as it was made. */
function isUntouched({ state }: Replica, lsn: Lsn): boolean {
  return state.base.lsn === lsn && state.commits.length === 0 && state.intent === undefined;
}
