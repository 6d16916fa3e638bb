/** The routes of the volume plane (docs/protocol.md): parameters are read and rights checked here, the work is done elsewhere. */
import { Hono } from "hono";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { stateChecksumToText } from "../../src/format/checksum.ts";
import { parseVolumeId } from "../../src/format/ids.ts";
import { checkTagName } from "../../src/format/keys.ts";
import { readJson } from "./body.ts";
import { bundleAnswer, wholeBundle } from "./bundle-answer.ts";
import { bodyLimits, type ServerContext } from "./context.ts";
import { eventsAnswer } from "./events/answer.ts";
import { allVolumes, listVisible } from "./listing.ts";
import { deleteObjects } from "./object-delete.ts";
import { OpenBundles } from "./open-bundle.ts";
import { everybody, type Principal } from "./principal.ts";
import { HttpError } from "./problem.ts";
import { pushBundle } from "./push-bundle.ts";
import { noCommit } from "./volume-logs.ts";
import { commitEntries } from "./volumes/commits.ts";
import { diffBetween, rangesOf } from "./volumes/diff.ts";
import { createVolume, dropVolume, forkVolume, giveTag, restoreVolume, takeTag } from "./volumes/engine.ts";
import { pageEntries, pagesOfRanges } from "./volumes/pages.ts";
import { RecordingStore } from "./volumes/recording-store.ts";

const JSON_TYPE = "application/json";
const LIST_MAX = 1000;

type Env = { Variables: { principal: Principal } };

export function volumePlane(context: ServerContext): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  app.get("/v1", () =>
    json({ service: "pagefold", protocol: 1, version: context.version, limits: limitsOf(context) }),
  );
  app.use("/v1/*", async (c, next) => {
    c.set("principal", (await context.authenticate?.(c.req.raw)) ?? everybody);
    await next();
  });
  storeRoutes(app, context);
  tagRoutes(app, context);
  volumeRoutes(app, context);
  logRoutes(app, context);
  return app;
}

function storeRoutes(app: Hono<Env>, context: ServerContext): void {
  const bundles = new OpenBundles(context);
  app.get("/v1/open/:name", async (c) => {
    const { signal } = c.req.raw;
    // What a tag names is told as it was read here.
    const tag = new RecordingStore(context.store);
    const volume = await context.access.resolve(c.var.principal, "read", c.req.param("name"), signal, tag);
    const from = numberOf(c.req.query("from"), "from") ?? 0;
    const known = await context.logs.volume(volume, signal);
    return wholeBundle(await bundles.bundle(known, await tag.entries(), from, signal));
  });
  app.get("/v1/list", async (c) => {
    const { prefix = "", after = "", limit } = c.req.query();
    const most = Math.min(LIST_MAX, numberOf(limit, "limit") ?? LIST_MAX);
    return json(
      await listVisible(context, c.var.principal, { prefix, after, limit: most }, c.req.raw.signal),
    );
  });
  app.post("/v1/delete", async (c) => {
    const { keys } = await jsonBody(context, c.req.raw);
    if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) {
      throw new HttpError(400, "invalid", '"keys" is a list of object keys');
    }
    await deleteObjects(context, c.var.principal, keys, c.req.raw.signal);
    return nothing();
  });
  app.get("/v1/events", (c) => eventsAnswer(context, c.var.principal, c.req.raw));
  app.post("/v1/notice", async (c) => {
    const { volume } = await jsonBody(context, c.req.raw);
    const id = typeof volume === "string" ? parseVolumeId(volume) : undefined;
    if (id === undefined) throw new HttpError(400, "invalid", '"volume" is the id of a volume');
    await context.access.check(c.var.principal, "read", id);
    // What it says is not believed, only looked up: by whoever waits for it, not by the peer.
    context.events.noticed(id).catch(() => context.recorder.count("server.events.failed"));
    return nothing(202);
  });
}

function tagRoutes(app: Hono<Env>, context: ServerContext): void {
  const { access } = context;
  app.get("/v1/tags", async (c) => {
    const { volumes } = await access.tagMap();
    const tags: { tag: string; volume: VolumeId }[] = [];
    for (const [tag, volume] of volumes) {
      if (await access.allows(c.var.principal, "read", volume)) tags.push({ tag, volume });
    }
    return json({ tags });
  });
  app.put("/v1/tags/:tag", async (c) => {
    const tag = checkTagName(c.req.param("tag"));
    const { principal } = c.var;
    access.checkTag(principal, "admin", tag);
    const body = await jsonBody(context, c.req.raw);
    const volume = await volumeIn(context, principal, body.volume, c.req.raw.signal);
    const from = typeof body.from === "string" ? parseVolumeId(body.from) : undefined;
    const before = (await access.tagMap()).volumes.get(tag);
    await giveTag(context, tag, volume, from, c.req.raw.signal);
    if (before !== undefined) await recheck(context, before);
    return json({ tag, volume });
  });
  app.delete("/v1/tags/:tag", async (c) => {
    const tag = checkTagName(c.req.param("tag"));
    access.checkTag(c.var.principal, "admin", tag);
    const before = (await access.tagMap()).volumes.get(tag);
    await takeTag(context, tag, c.req.raw.signal);
    if (before !== undefined) await recheck(context, before);
    return nothing();
  });
}

function volumeRoutes(app: Hono<Env>, context: ServerContext): void {
  const { access, logs } = context;
  app.get("/v1/volumes", async (c) => {
    const { signal } = c.req.raw;
    const { tags } = await access.tagMap();
    const volumes: { volume: VolumeId; tags: readonly string[] }[] = [];
    for (const volume of await allVolumes(context, signal)) {
      if (!(await access.allows(c.var.principal, "read", volume))) continue;
      volumes.push({ volume, tags: tags.get(volume) ?? [] });
    }
    return json({ volumes });
  });
  app.post("/v1/volumes", async (c) => {
    const body = await jsonBody(context, c.req.raw);
    const tag = tagIn(body.tag);
    checkNewVolume(context, c.var.principal, tag);
    const pageSize = integerIn(body.pageSize, "pageSize");
    return json({ volume: await createVolume(context, { tag, pageSize }, c.req.raw.signal) }, 201);
  });
  app.get("/v1/volumes/:v", async (c) => {
    const { signal } = c.req.raw;
    const volume = await access.resolve(c.var.principal, "read", c.req.param("v"), signal);
    const known = await logs.volume(volume, signal);
    const lsn = await logs.head(known, signal);
    const { manifest } = known;
    const header = lsn === 0 ? undefined : (await logs.commit(known, lsn, signal)).header;
    return json({
      volume,
      tags: (await access.tagMap()).tags.get(volume) ?? [],
      lsn,
      pageCount: header?.pageCount ?? 0,
      pageSize: manifest.pageSize,
      byteLength: header?.byteLength ?? 0,
      time: header?.time ?? manifest.createdAt,
      stateChecksum: stateChecksumToText(header?.stateChecksum ?? (0n as never)),
    });
  });
  app.delete("/v1/volumes/:v", async (c) => {
    const volume = await access.resolve(c.var.principal, "admin", c.req.param("v"), c.req.raw.signal);
    const { confirm = "", purge } = c.req.query();
    await dropVolume(context, volume, { confirm, purge: purge === "1" }, c.req.raw.signal);
    return nothing();
  });
  app.post("/v1/volumes/:v/undelete", async (c) => {
    const { signal } = c.req.raw;
    // By its id: no tag names it now.
    const volume = await access.resolve(c.var.principal, "admin", c.req.param("v"), signal);
    const body = await jsonBody(context, c.req.raw);
    return json({ volume, ...(await restoreVolume(context, volume, { tags: body.tags !== false }, signal)) });
  });
  app.post("/v1/volumes/:v/forks", async (c) => {
    const { signal } = c.req.raw;
    const volume = await access.resolve(c.var.principal, "read", c.req.param("v"), signal);
    await logs.volume(volume, signal);
    const body = await jsonBody(context, c.req.raw);
    const tag = tagIn(body.tag);
    checkNewVolume(context, c.var.principal, tag);
    return json(await forkVolume(context, volume, { tag, lsn: integerIn(body.lsn, "lsn") }, signal), 201);
  });
}

function logRoutes(app: Hono<Env>, context: ServerContext): void {
  const { access, logs } = context;
  app.get("/v1/volumes/:v/commits", async (c) => {
    const { signal } = c.req.raw;
    const volume = await access.resolve(c.var.principal, "read", c.req.param("v"), signal);
    const known = await logs.volume(volume, signal);
    const head = await logs.head(known, signal);
    const from = numberOf(c.req.query("from"), "from") ?? 0;
    const to = numberOf(c.req.query("to"), "to") ?? head;
    if (to > head) throw noCommit(volume, to);
    const headers = c.req.query("headers") === "1";
    return bundleAnswer(context, commitEntries(context, known, { from, to, headers }, signal));
  });
  app.post("/v1/volumes/:v/commits", async (c) => {
    const volume = await access.resolve(c.var.principal, "write", c.req.param("v"), c.req.raw.signal);
    await context.writable();
    const { lsn, hash, created } = await pushBundle(context, volume, c.req.raw);
    return json({ lsn, hash }, created ? 201 : 200);
  });
  app.post("/v1/volumes/:v/pages", async (c) => {
    const { signal } = c.req.raw;
    const volume = await access.resolve(c.var.principal, "read", c.req.param("v"), signal);
    const known = await logs.volume(volume, signal);
    const body = await jsonBody(context, c.req.raw);
    const head = await logs.head(known, signal);
    const lsn = integerIn(body.lsn, "lsn") ?? head;
    if (lsn > head) throw noCommit(volume, lsn);
    const pages = pagesOfRanges(body.pages, context.settings.pageRanges);
    const state = await logs.state(known, lsn as Lsn, signal);
    return bundleAnswer(context, pageEntries(context, known, state, pages, signal));
  });
  app.get("/v1/volumes/:v/diff", async (c) => {
    const { signal } = c.req.raw;
    const volume = await access.resolve(c.var.principal, "read", c.req.param("v"), signal);
    const known = await logs.volume(volume, signal);
    const from = (numberOf(c.req.query("from"), "from") ?? 0) as Lsn;
    const to = (numberOf(c.req.query("to"), "to") ?? (await logs.head(known, signal))) as Lsn;
    const exact = c.req.query("exact") === "1";
    const { pages, pageCountTo: pageCount } = await diffBetween(context, known, { from, to, exact }, signal);
    if (c.req.query("bodies") !== "1") return json({ from, to, pageCount, pages: rangesOf(pages) });
    const state = await logs.state(known, to, signal);
    return bundleAnswer(context, pageEntries(context, known, state, pages, signal));
  });
}

/** Whoever listens by a tag that was taken away hears no more. */
function recheck({ access, events }: ServerContext, volume: VolumeId): Promise<void> {
  return events.recheck(volume, (principal) => access.allows(principal, "read", volume));
}

/** A volume without a name is made by those who may do anything. */
function checkNewVolume({ access }: ServerContext, principal: Principal, tag: string | undefined): void {
  if (tag !== undefined) access.checkTag(principal, "admin", tag);
  else if (!principal.may("admin", { tags: [] })) throw noNameless();
}

function noNameless(): HttpError {
  return new HttpError(403, "forbidden", "you may only make volumes with a tag that is yours; name one");
}

async function volumeIn(
  { access, logs }: ServerContext,
  principal: Principal,
  value: unknown,
  signal: AbortSignal,
): Promise<VolumeId> {
  const volume = typeof value === "string" ? parseVolumeId(value) : undefined;
  if (volume === undefined) throw new HttpError(400, "invalid", '"volume" is the id of a volume');
  await access.check(principal, "admin", volume);
  await logs.volume(volume, signal);
  return volume;
}

function tagIn(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new HttpError(400, "invalid", '"tag" is a name');
  return checkTagName(value);
}

function integerIn(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw new HttpError(400, "invalid", `"${name}" is a whole number from 0 on`);
}

function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new HttpError(400, "invalid", `${name}=${text.slice(0, 32)}: that is a whole number from 0 on`);
}

function jsonBody(context: ServerContext, request: Request): Promise<Readonly<Record<string, unknown>>> {
  return readJson(request, bodyLimits(context, context.settings.jsonBytes));
}

function limitsOf({ settings }: ServerContext): Readonly<Record<string, number>> {
  const { commitBytes, pageRanges, eventVolumes, jsonBytes } = settings;
  return { commitBytes, pageRanges, eventVolumes, jsonBytes, listEntries: LIST_MAX };
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": JSON_TYPE, "cache-control": "no-store" },
  });
}

function nothing(status = 204): Response {
  return new Response(null, { status });
}
