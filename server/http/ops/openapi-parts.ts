/** Building blocks of the OpenAPI document: parameters, answers, problems, and the shapes of JSON that go over the wire. */

export const BUNDLE_TYPE = "application/vnd.pagefold.bundle";

export interface Operation {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly responses: Readonly<Record<string, unknown>>;
  readonly parameters?: readonly unknown[];
  readonly requestBody?: unknown;
  readonly security?: readonly unknown[];
}

type Answers = Readonly<Record<string, unknown>>;

export function operation(
  tag: string,
  summary: string,
  responses: Answers,
  more: Partial<Operation> = {},
): Operation {
  // Any request can come at a bad moment.
  return { tags: [tag], summary, ...more, responses: { ...responses, ...problems(429, 503), ...responses } };
}

export function parameter(
  place: "query" | "header" | "path",
  name: string,
  schema: Readonly<Record<string, unknown>>,
  description?: string,
  required = false,
): Record<string, unknown> {
  return { name, in: place, required, schema, ...(description === undefined ? {} : { description }) };
}

const PROBLEMS: Readonly<Record<number, string>> = {
  400: "The request cannot be understood.",
  401: "The token does not verify, or one is needed.",
  403: "The caller may see it, and has no right to do this.",
  404: "There is none, or the caller may not see it.",
  409: "The state is another than the request says (conflict, diverged).",
  412: "It exists already.",
  413: "The body is larger than what is accepted here.",
  416: "The range lies outside of the object, or there are several.",
  422: "What was sent does not verify; nothing of it was stored.",
  428: "If-None-Match: * is missing.",
  429: "Too many requests; Retry-After says when to come back.",
  503: "Not now; Retry-After says when to come back.",
};

export function problems(...statuses: number[]): Answers {
  const content = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } };
  return Object.fromEntries(
    statuses.map((status) => [String(status), { description: PROBLEMS[status] ?? "A problem.", content }]),
  );
}

export function plainAnswer(status: string, description: string): Answers {
  return { [status]: { description } };
}

export function bytesAnswer(status: string, description: string, type: string): Answers {
  return { [status]: { description, content: { [type]: {} } } };
}

export function jsonAnswer(status: string, schema: keyof typeof schemas, description?: string): Answers {
  const content = { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } };
  return { [status]: { description: description ?? schemas[schema].description, content } };
}

export function jsonBody(schema: keyof typeof schemas): Pick<Operation, "requestBody"> {
  const content = { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } };
  return { requestBody: { required: true, content } };
}

interface Schema {
  readonly type: string;
  readonly description: string;
  readonly [more: string]: unknown;
}

const text = { type: "string" };
const integer = { type: "integer", minimum: 0 };
const ranges = {
  type: "array",
  items: { type: "array", prefixItems: [integer, integer], minItems: 2, maxItems: 2 },
};
const list = (items: unknown) => ({ type: "array", items });

function object(description: string, properties: Record<string, unknown>, optional: string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", description, properties, ...(required.length === 0 ? {} : { required }) };
}

export const schemas = {
  Problem: object("RFC 9457, with an error code of the library.", {
    type: text,
    title: text,
    status: integer,
    detail: text,
    code: text,
    details: { type: "object" },
  }),
  Service: object("The service.", {
    service: { const: "pagefold" },
    protocol: integer,
    version: text,
    limits: { type: "object" },
  }),
  Keys: {
    type: "array",
    description: "Keys.",
    items: object("A key.", { key: text, size: integer }),
  } as Schema,
  Deletion: object("Keys to delete.", { keys: list(text) }),
  Tags: object("Tags.", { tags: list(object("A tag.", { tag: text, volume: text })) }),
  Tag: object("The tag.", { tag: text, volume: text }),
  TagValue: object("What the tag is to name.", { volume: text, from: text }, ["from"]),
  Volumes: object("Volumes.", { volumes: list(object("A volume.", { volume: text, tags: list(text) })) }),
  VolumeCreation: object("The new volume.", { tag: text, pageSize: integer }, ["tag", "pageSize"]),
  NewVolume: object("Created.", { volume: text }),
  Volume: object("Newest state.", {
    volume: text,
    tags: list(text),
    lsn: integer,
    pageCount: integer,
    pageSize: integer,
    byteLength: integer,
    time: integer,
    stateChecksum: text,
  }),
  UndeletionRequest: object("Whether to give back the tags, too (default).", { tags: { type: "boolean" } }, [
    "tags",
  ]),
  Undeletion: object("Put back.", { volume: text, tags: list(text), taken: list(text) }),
  ForkCreation: object("Where to fork.", { lsn: integer, tag: text }, ["lsn", "tag"]),
  Fork: object("Created.", { volume: text, lsn: integer }),
  Pushed: object("Stored.", { lsn: integer, hash: text }),
  PageRequest: object("Pages by index, 1-based, first and last.", { lsn: integer, pages: ranges }),
  Difference: object("Pages that differ.", { from: integer, to: integer, pageCount: integer, pages: ranges }),
  Notice: object("A commit.", { volume: text, lsn: integer }),
};
