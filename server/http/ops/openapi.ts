/**
 * docs/protocol.md as an OpenAPI 3.1 document, served at /openapi.json. A test holds it against the routes that are registered, both ways; the
 * names of routes in logs and metrics are its paths.
 */
import {
  BUNDLE_TYPE,
  bytesAnswer,
  jsonAnswer,
  jsonBody,
  type Operation,
  operation,
  parameter,
  plainAnswer,
  problems,
  schemas,
} from "./openapi-parts.ts";

type Method = "get" | "head" | "put" | "post" | "delete";
export type PathItem = Partial<Record<Method, Operation>>;

const range = parameter(
  "header",
  "Range",
  { type: "string", example: "bytes=0-65535" },
  "One range of bytes.",
);
const createOnly = parameter(
  "header",
  "If-None-Match",
  { type: "string", enum: ["*"] },
  "Objects are created, never overwritten; only a head hint may be replaced.",
);

/** One key of the object plane. `what` begins the summaries. */
function objectPath(what: string, deletable: string): PathItem {
  const read = {
    ...bytesAnswer("200", "The object.", "application/octet-stream"),
    ...bytesAnswer("206", "The range that was asked for.", "application/octet-stream"),
    ...plainAnswer("304", "It is the one that If-None-Match names."),
    ...problems(401, 404, 416),
  };
  return {
    get: operation("object", `${what}, whole or one range`, read, { parameters: [range] }),
    head: operation("object", `${what}: its size and entity tag`, read, { parameters: [range] }),
    put: operation(
      "object",
      `${what}: create it`,
      {
        ...plainAnswer("201", "Created."),
        ...plainAnswer("204", "Replaced (a head hint)."),
        ...problems(400, 401, 403, 404, 409, 412, 413, 422, 428),
      },
      {
        parameters: [createOnly],
        requestBody: { required: true, content: { "application/octet-stream": {} } },
      },
    ),
    delete: operation("object", `${what}: delete it${deletable}`, {
      ...plainAnswer("204", "It is gone, whether it was there or not."),
      ...problems(401, 403, 404),
    }),
  };
}

const volume = "Tag or volume id.";
const lsn = { type: "integer", minimum: 0 };

const paths: Readonly<Record<string, PathItem>> = {
  "/volumes/{volume}/manifest": objectPath("Manifest of a volume", ""),
  "/volumes/{volume}/head": objectPath("Hint at the newest commit", ""),
  "/volumes/{volume}/{folder}/{name}": objectPath(
    "Commit, segment, rollup, checkpoint, pin, or one value of a series (floor, config, deleted, leases)",
    "; a segment that no commit names needs only the right to write",
  ),
  "/tags/{tag}/{number}": objectPath("One value of a tag", ""),
  "/probe/{name}": {
    put: operation("object", "Refused: creation is conditional here, nobody need find out", problems(403)),
  },
  "/v1": {
    get: operation("service", "Which service, version and limits these are", jsonAnswer("200", "Service"), {
      security: [],
    }),
  },
  "/v1/open/{name}": {
    get: operation(
      "volume",
      "Everything that a client reads to open a volume, or to move there from an LSN",
      { ...bytesAnswer("200", "A bundle.", BUNDLE_TYPE), ...problems(400, 401, 404) },
      { parameters: [parameter("query", "from", lsn, "What the client has.")] },
    ),
  },
  "/v1/list": {
    get: operation(
      "service",
      "Keys with a prefix, in byte order, those that the caller may see",
      { ...jsonAnswer("200", "Keys"), ...problems(400, 401) },
      {
        parameters: [
          parameter("query", "prefix", { type: "string" }),
          parameter("query", "after", { type: "string" }, "Only keys behind this one."),
          parameter("query", "limit", { type: "integer", minimum: 1, maximum: 1000 }),
        ],
      },
    ),
  },
  "/v1/delete": {
    post: operation(
      "service",
      "Delete objects",
      { ...plainAnswer("204", "They are gone."), ...problems(400, 401, 403, 404, 413) },
      jsonBody("Deletion"),
    ),
  },
  "/v1/tags": {
    get: operation("tag", "The tags that the caller may see", {
      ...jsonAnswer("200", "Tags"),
      ...problems(401),
    }),
  },
  "/v1/tags/{tag}": {
    put: operation(
      "tag",
      "Make a tag name a volume",
      { ...jsonAnswer("200", "Tag"), ...problems(400, 401, 403, 404, 409) },
      jsonBody("TagValue"),
    ),
    delete: operation("tag", "Remove a tag", {
      ...plainAnswer("204", "It is gone."),
      ...problems(401, 403, 404),
    }),
  },
  "/v1/volumes": {
    get: operation("volume", "The volumes that the caller may see", {
      ...jsonAnswer("200", "Volumes"),
      ...problems(401),
    }),
    post: operation(
      "volume",
      "Create a volume",
      { ...jsonAnswer("201", "NewVolume"), ...problems(400, 401, 403, 404, 409) },
      jsonBody("VolumeCreation"),
    ),
  },
  "/v1/volumes/{volume}": {
    get: operation("volume", "Newest state of a volume", {
      ...jsonAnswer("200", "Volume"),
      ...problems(401, 404),
    }),
    delete: operation(
      "volume",
      "Delete a volume; its objects stay for a while, so that it can be undeleted",
      { ...plainAnswer("204", "It is gone."), ...problems(400, 401, 403, 404, 409) },
      {
        parameters: [
          parameter("query", "confirm", { type: "string" }, "The volume's id once more.", true),
          parameter("query", "purge", { type: "string", enum: ["1"] }, "Delete its objects at once."),
        ],
      },
    ),
  },
  "/v1/volumes/{volume}/undelete": {
    post: operation(
      "volume",
      "Put a deleted volume back, with the tags that nothing else has taken",
      { ...jsonAnswer("200", "Undeletion"), ...problems(400, 401, 403, 404, 409) },
      jsonBody("UndeletionRequest"),
    ),
  },
  "/v1/volumes/{volume}/forks": {
    post: operation(
      "volume",
      "Start a volume that shares the pages of this one",
      { ...jsonAnswer("201", "Fork"), ...problems(400, 401, 403, 404, 409) },
      jsonBody("ForkCreation"),
    ),
  },
  "/v1/volumes/{volume}/commits": {
    get: operation(
      "volume",
      "Commit objects behind an LSN, oldest first, at most 1000",
      { ...bytesAnswer("200", "A bundle.", BUNDLE_TYPE), ...problems(400, 401, 404) },
      {
        parameters: [
          parameter("query", "from", lsn, "Those behind this LSN."),
          parameter("query", "to", lsn, "Up to this one; default: the newest."),
          parameter("query", "headers", { type: "string", enum: ["1"] }, "Without their frames."),
        ],
      },
    ),
    post: operation(
      "volume",
      "Push: segments, then the commit that names them",
      {
        ...jsonAnswer("201", "Pushed"),
        ...jsonAnswer("200", "Pushed", "This very commit is stored already."),
        ...problems(400, 401, 403, 404, 409, 413, 422),
      },
      { requestBody: { required: true, content: { [BUNDLE_TYPE]: {} } } },
    ),
  },
  "/v1/volumes/{volume}/pages": {
    post: operation(
      "volume",
      "The frames that hold these pages at an LSN, each once",
      { ...bytesAnswer("200", "A bundle.", BUNDLE_TYPE), ...problems(400, 401, 404, 413) },
      jsonBody("PageRequest"),
    ),
  },
  "/v1/volumes/{volume}/diff": {
    get: operation(
      "volume",
      "Pages that differ between two LSNs, with exact=1 in their bytes; with bodies=1 a bundle of their frames",
      {
        "200": {
          description: "The pages, or a bundle.",
          content: {
            "application/json": { schema: { $ref: "#/components/schemas/Difference" } },
            [BUNDLE_TYPE]: {},
          },
        },
        ...problems(400, 401, 404),
      },
      {
        parameters: [
          parameter("query", "from", lsn),
          parameter("query", "to", lsn),
          parameter("query", "exact", { type: "string", enum: ["1"] }),
          parameter("query", "bodies", { type: "string", enum: ["1"] }),
        ],
      },
    ),
  },
  "/v1/events": {
    get: operation(
      "events",
      "Commits as they are made, as server-sent events",
      {
        ...bytesAnswer("200", "A stream that does not end by itself.", "text/event-stream"),
        ...problems(400, 401, 404),
      },
      {
        parameters: [
          parameter(
            "query",
            "volume",
            { type: "array", items: { type: "string" } },
            "VOLUME@LSN, what the client has.",
          ),
          parameter("header", "Last-Event-ID", { type: "string" }, "Where to go on; it overrides the query."),
        ],
      },
    ),
  },
  "/v1/notice": {
    post: operation(
      "events",
      "A peer tells of a commit that was made through it",
      { ...plainAnswer("202", "It will be looked up."), ...problems(400, 401, 404) },
      jsonBody("Notice"),
    ),
  },
  "/healthz": { get: operation("operation", "Alive", plainAnswer("200", "It is."), { security: [] }) },
  "/readyz": {
    get: operation(
      "operation",
      "Whether the store can be reached, and the server is not going down",
      { ...plainAnswer("200", "Ready."), ...problems(503) },
      { security: [] },
    ),
  },
  "/metrics": {
    get: operation("operation", "Figures for Prometheus, where they are switched on", {
      ...bytesAnswer("200", "The text format of Prometheus.", "text/plain"),
      ...problems(401, 403, 404),
    }),
  },
  "/openapi.json": {
    get: operation(
      "operation",
      "This document",
      { ...bytesAnswer("200", "It.", "application/json") },
      { security: [] },
    ),
  },
};

/** The paths of the document: the names of all routes. */
export const routePaths: readonly string[] = Object.keys(paths);

export function openApiDocument(version: string): Record<string, unknown> {
  return {
    openapi: "3.1.0",
    info: {
      title: "Pagefold server",
      version,
      description:
        "Versioned volumes of pages over HTTP. docs/protocol.md of the package says what bundles, events and rights are.",
      license: { name: "MIT", identifier: "MIT" },
    },
    // Wherever the document came from: a proxy may have put a path in front.
    servers: [{ url: "." }],
    security: [{}, { token: [] }],
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, item]) => [path, { parameters: pathParameters(path), ...item }]),
    ),
    components: {
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: 'Claim pagefold: [{"right":"read"|"write"|"admin","volume"|"tag"|"prefix":NAME}…]',
        },
      },
      schemas,
    },
  };
}

function pathParameters(path: string): unknown[] {
  const isVolumePlane = path.startsWith("/v1/");
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => {
    const about = (name === "volume" || name === "name") && isVolumePlane ? volume : undefined;
    return parameter("path", name, { type: "string" }, about, true);
  });
}
