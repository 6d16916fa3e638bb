/** Writing of the object plane: everything is checked before it is stored, and nothing that exists is replaced but a head hint. */
import { unreachable } from "../../src/base/assert.ts";
import type { VolumeId } from "../../src/base/brand.ts";
import { CONFIG_BYTES_MOST } from "../../src/format/config-codec.ts";
import { DELETED_BYTES_MOST } from "../../src/format/deleted-codec.ts";
import { manifestKey, parseTagKey, tagPrefix } from "../../src/format/keys.ts";
import { LIMITS } from "../../src/format/limits.ts";
import { forbidden } from "./access.ts";
import { readBody, statedLength } from "./body.ts";
import { storeCommit } from "./commit-store.ts";
import { bodyLimits, type ServerContext } from "./context.ts";
import { volumeToKeep } from "./deleted-volume.ts";
import { checkCompaction, mayRaise } from "./history-write.ts";
import { type NameOf, type ObjectName, parseObjectKey } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { HttpError, problemResponse } from "./problem.ts";
import { checkCheckpoint } from "./verify/checkpoint.ts";
import { checkSegment } from "./verify/segment.ts";
import {
  checkConfig,
  checkDeleted,
  checkFork,
  checkHint,
  checkLease,
  checkManifest,
  checkNext,
  checkPin,
  checkRestorePin,
  checkRollup,
  checkTagValue,
  sharedVolumes,
} from "./verify/small.ts";
import type { KnownVolume } from "./volume-logs.ts";

/** Of as many checkpoints as a floor may name: 48 bytes each at most. */
const FLOOR_BYTES_MOST = 1024 + 48 * LIMITS.floorCheckpoints;
/** For hints, tags and pins: all of them are much smaller. */
const SMALL_BYTES = 1024;

/** Kinds whose memory is lent. */
const LARGE: ReadonlySet<ObjectName["kind"]> = new Set([
  ...(["segment", "compacted", "commit", "rollup", "checkpoint", "floor"] as const),
]);

interface Write {
  readonly context: ServerContext;
  readonly principal: Principal;
  readonly request: Request;
}

/** Answers `PUT /KEY`. */
export async function writeObject(
  context: ServerContext,
  principal: Principal,
  request: Request,
  key: string,
): Promise<Response> {
  if (key === "probe" || key.startsWith("probe/")) {
    throw new HttpError(
      403,
      "forbidden",
      "this server honours conditional creation: there is nothing to probe",
    );
  }
  const name = parseObjectKey(key);
  if (name === undefined) {
    throw new HttpError(
      400,
      "invalid",
      `${key.slice(0, 200)} is no key of the format; nothing else is stored here`,
      {
        details: { key: key.slice(0, 200) },
      },
    );
  }
  const condition = request.headers.get("if-none-match");
  if (condition !== null && condition !== "*") {
    throw new HttpError(400, "invalid", "the only condition that is understood is If-None-Match: *", {
      details: { key },
    });
  }
  await checkRight(context, principal, name);
  await context.writable();
  return receive({ context, principal, request }, name);
}

async function checkRight(context: ServerContext, principal: Principal, name: ObjectName): Promise<void> {
  const { access } = context;
  if (name.kind === "tag") return access.checkTag(principal, "admin", name.tag);
  // Whoever may read a volume may fork it; making a volume is its future owner's.
  // What a floor takes depends on what it says.
  if (name.kind === "pin" || name.kind === "floor") return access.check(principal, "read", name.volume);
  // What a deletion, or a retention, takes away is the owner's.
  if (name.kind === "deleted" || name.kind === "config") return access.check(principal, "admin", name.volume);
  if (name.kind !== "manifest") return access.check(principal, "write", name.volume);
  if (await access.allows(principal, "admin", name.volume)) return;
  if (await access.adopts(principal, name.volume)) return;
  throw forbidden("admin", `volume ${name.volume}`);
}

/** Takes the body within what its kind may have, checks and stores it. */
async function receive(write: Write, name: ObjectName): Promise<Response> {
  const { context, request } = write;
  const max = maxBytes(context, name);
  const stated = statedLength(request, max);
  const work = async (): Promise<Response> => {
    const bytes = await readBody(request, bodyLimits(context, max));
    const answer = await store(write, name, bytes);
    const unconditional = request.headers.get("if-none-match") === null;
    return unconditional && answer.status === 412 ? sameOrConflict(write, name, bytes) : answer;
  };
  return LARGE.has(name.kind) ? context.uploads.lend(stated ?? max, request.signal, work) : work();
}

/** Who put without a condition wants these bytes there, and has them there already, or cannot: nothing is replaced. */
async function sameOrConflict(
  { context, request }: Write,
  { key }: ObjectName,
  bytes: Uint8Array,
): Promise<Response> {
  const stored = await context.store.get(key, { signal: request.signal });
  if (stored?.length === bytes.length && stored.every((byte, i) => byte === bytes[i]))
    return new Response(null, { status: 204 });
  throw new HttpError(409, "conflict", `${key} holds other bytes, and objects are never replaced`, {
    details: { key },
  });
}

function maxBytes({ settings }: ServerContext, name: ObjectName): number {
  switch (name.kind) {
    case "segment":
    case "compacted":
      return LIMITS.segmentStoredBytes;
    case "checkpoint":
      return Math.min(LIMITS.checkpointBytes, settings.uploadBytes);
    case "floor":
      return FLOOR_BYTES_MOST;
    case "config":
      return CONFIG_BYTES_MOST;
    case "commit":
    case "rollup":
      return settings.commitBytes;
    case "manifest":
      return LIMITS.manifestBytes;
    case "deleted":
      return DELETED_BYTES_MOST;
    default:
      return SMALL_BYTES;
  }
}

async function store(write: Write, name: ObjectName, bytes: Uint8Array): Promise<Response> {
  const { context, request } = write;
  const { signal } = request;
  switch (name.kind) {
    case "commit": {
      const { outcome } = await storeCommit(context, name.volume, name.lsn, bytes, signal);
      return outcome === "created" ? created() : exists(name.key);
    }
    case "segment":
      return (await storeSegment(context, name, bytes, signal)) === "created" ? created() : exists(name.key);
    case "compacted":
    case "checkpoint": {
      const known = await volumeToKeep(context, write.principal, name.volume, signal);
      if (name.kind === "checkpoint") {
        await checkCheckpoint(context, known, name, bytes, signal);
        return create(context, name.key, bytes, signal);
      }
      await checkCompaction(context, known, name, signal);
      return (await storeSegment(context, name, bytes, signal, known)) === "created"
        ? created()
        : exists(name.key);
    }
    case "floor":
      return context.locks.run(name.volume, signal, async () => {
        await mayRaise(context, write.principal, name, bytes, signal);
        return create(context, name.key, bytes, signal);
      });
    case "config":
      await context.logs.volume(name.volume, signal);
      checkConfig(context, name, bytes);
      await checkNext(context, name, signal);
      return create(context, name.key, bytes, signal);
    case "restore":
      await checkRestorePin(context, name, bytes, signal);
      return create(context, name.key, bytes, signal);
    case "manifest":
      return storeManifest(write, name.volume, bytes);
    case "tag":
      return storeTag(write, name, bytes);
    case "head":
      await checkHint(context, name, bytes, signal);
      await context.store.put(name.key, bytes, { signal });
      return new Response(null, { status: 204 });
    case "pin":
      await checkPin(context, name, bytes, signal);
      return create(context, name.key, bytes, signal);
    case "deleted":
      checkDeleted(context, name, bytes);
      await checkNext(context, name, signal);
      return create(context, name.key, bytes, signal);
    case "lease":
      checkLease(context, name, bytes);
      await checkNext(context, name, signal);
      return create(context, name.key, bytes, signal);
    case "rollup":
      await context.logs.volume(name.volume, signal);
      checkRollup(name, bytes);
      return create(context, name.key, bytes, signal);
    default:
      return unreachable(name);
  }
}

async function storeManifest(
  { context, principal, request }: Write,
  volume: VolumeId,
  bytes: Uint8Array,
): Promise<Response> {
  const manifest = checkManifest(context, volume, bytes);
  // A fork shows its ancestors' pages to whoever may read the fork.
  for (const ancestor of sharedVolumes(manifest)) await context.access.check(principal, "read", ancestor);
  const { signal } = request;
  const make = async (): Promise<Response> => {
    await checkFork(context, manifest, signal);
    return create(context, manifestKey(volume), bytes, signal);
  };
  const [direct] = manifest.ancestors;
  // Its pin must not be taken away between.
  return direct === undefined ? make() : context.locks.run(direct.volume, signal, make);
}

/** A value of a tag is the next one, and its giver may give both the name and the volume away. */
async function storeTag(
  { context, principal, request }: Write,
  name: NameOf<"tag">,
  bytes: Uint8Array,
): Promise<Response> {
  const { signal } = request;
  const volume = checkTagValue(context, name, bytes);
  if (volume !== undefined) {
    const adopted = await context.access.adopts(principal, volume, signal);
    if (!adopted) await context.access.check(principal, "admin", volume);
    const { manifest } = await context.logs.volume(volume, signal);
    // A fork without commits of its own is not nobody's: it shows what it shares.
    if (adopted)
      for (const shared of sharedVolumes(manifest)) await context.access.check(principal, "read", shared);
  }
  const [newest] = await context.origin.list(tagPrefix(name.tag), { limit: 1, signal });
  const n = newest === undefined ? 0 : (parseTagKey(newest.key)?.n ?? 0);
  if (name.n > n + 1) {
    throw new HttpError(
      409,
      "conflict",
      `value ${name.n} of tag ${name.tag} has to wait: the newest is ${n}`,
      {
        details: { tag: name.tag },
      },
    );
  }
  const answer = await create(context, name.key, bytes, signal);
  context.access.forgetTags();
  return answer;
}

/** Stores a segment that was received whole, if it is what it says. @throws 422 */
export async function storeSegment(
  context: ServerContext,
  name: NameOf<"segment"> | NameOf<"compacted">,
  bytes: Uint8Array,
  signal: AbortSignal,
  of?: KnownVolume,
): Promise<"created" | "exists"> {
  const known = of ?? (await context.logs.volume(name.volume, signal));
  const { volume, id } = name;
  const lsn = name.kind === "segment" ? name.lsn : undefined;
  const ref = await checkSegment(context, bytes, { volume, lsn, id }, known.manifest);
  const outcome = await context.store.put(name.key, bytes, { ifAbsent: true, signal });
  // One that was there may be another: its commit reads it.
  if (outcome === "created") context.verified.add(name.key, ref);
  return outcome;
}

async function create(
  { store: target }: ServerContext,
  key: string,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<Response> {
  const outcome = await target.put(key, bytes, { ifAbsent: true, signal });
  return outcome === "created" ? created() : exists(key);
}

function created(): Response {
  return new Response(null, { status: 201 });
}

function exists(key: string): Response {
  return problemResponse(
    new HttpError(412, "conflict", `${key} exists already, and is not replaced; read it to see what it is`, {
      details: { key },
    }),
  );
}
