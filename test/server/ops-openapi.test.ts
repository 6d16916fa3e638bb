/** The OpenAPI document against the routes that are registered, both ways: nothing undocumented, nothing that is not there. */
import { describe, expect, it } from "vitest";
import { Metrics } from "../../server/http/ops/metrics.ts";
import { openApiDocument, routePaths } from "../../server/http/ops/openapi.ts";
import { OPS_ROUTES, opsRoutes } from "../../server/http/ops/ops-routes.ts";
import { RouteNames, UNKNOWN_ROUTE } from "../../server/http/ops/routes.ts";
import { createServer } from "../../server/http/server.ts";
import { defaultServerSettings } from "../../server/http/settings.ts";
import { volumePlane } from "../../server/http/v1.ts";
import {
  checkpointKey,
  commitKey,
  configKey,
  floorKey,
  forkKey,
  headKey,
  manifestKey,
  rollupKey,
  segmentKey,
  tagKey,
} from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";

interface Operation {
  readonly summary: string;
  readonly responses: Record<string, unknown>;
  readonly parameters?: { readonly name: string; readonly in: string }[];
}
interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation> & { parameters: { name: string; in: string }[] }>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

const document = openApiDocument("1.2.3") as unknown as Document;
const methods = ["get", "head", "put", "post", "delete"];
/** "GET /v1/tags/{}", whatever the parameters are called. */
const documented = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.keys(item)
    .filter((key) => methods.includes(key))
    .map((method) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, "{}")}`),
);
const registered = (routes: readonly { method: string; path: string }[]): string[] => [
  ...new Set(
    routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(/:\w+/g, "{}")}`),
  ),
];

describe("the OpenAPI document", () => {
  it("has the routes of the volume plane, and no other", () => {
    const context = { settings: defaultServerSettings } as Parameters<typeof volumePlane>[0];
    const { routes } = volumePlane(context);
    expect(routes.length).toBeGreaterThan(15);
    const here = documented.filter((operation) => /^\w+ \/v1(\/|$)/.test(operation));
    expect(registered(routes).sort()).toEqual(here.sort());
  });

  it("has the routes of operation, and no other", () => {
    const { routes } = opsRoutes({
      readiness: undefined as never,
      metrics: new Metrics(),
      metricsFor: "open",
      authenticate: undefined,
      version: "1.2.3",
    });
    const here = documented.filter((operation) => OPS_ROUTES.some((path) => operation.endsWith(` ${path}`)));
    expect(registered(routes).sort()).toEqual(here.sort());
    expect(here.length).toBe(OPS_ROUTES.length);
  });

  it("has the object plane as it answers", async () => {
    const server = createServer({ store: new MemoryObjectStore() });
    const isPlane = (path: string): boolean => /^\/(volumes|tags|probe)\//.test(path);
    const volume = "01j8zk3v5n7q9r1t3w5x7y9abc";
    const samples: Record<string, string> = {
      volume,
      folder: "commits",
      name: "fffffffffffffff0",
      tag: "shop",
      number: "fffffffffffffff0",
    };
    for (const [path, item] of Object.entries(document.paths).filter(([path]) => isPlane(path))) {
      const sample = path.replace(/\{(\w+)\}/g, (_, name: string) => samples[name]!);
      for (const method of methods.filter((method) => item[method] !== undefined)) {
        const response = await server.fetch(
          new Request(`http://h${sample}`, { method: method.toUpperCase() }),
        );
        expect(item[method]?.responses, `${method} ${path}`).toHaveProperty(String(response.status));
        expect(await response.text()).not.toContain("nothing answers at");
      }
      const response = await server.fetch(new Request(`http://h${sample}`, { method: "POST" }));
      expect(item.post === undefined ? response.status : 0, path).toBe(405);
    }
    const elsewhere = Object.keys(document.paths).filter((path) => !isPlane(path) && !path.startsWith("/v1"));
    expect(elsewhere.sort()).toEqual([...OPS_ROUTES].sort());
    await server.close();
  });

  it("names a route for every kind of key", () => {
    const names = new RouteNames(routePaths);
    const volume = "01j8zk3v5n7q9r1t3w5x7y9abc" as never;
    const keys = [
      manifestKey(volume),
      headKey(volume),
      commitKey(volume, 1 as never),
      segmentKey(volume, 1 as never, volume),
      rollupKey(volume, 2 as never),
      checkpointKey(volume, 2 as never, "ab".repeat(32) as never),
      floorKey(volume, 1),
      configKey(volume, 1),
      forkKey(volume, volume, 1 as never),
      tagKey("shop", 1),
    ];
    const routes = keys.map((key) => names.of(`/${key}`));
    expect(routes).not.toContain(UNKNOWN_ROUTE);
    expect(routes[0]).toBe("/volumes/{volume}/manifest");
    expect(routes[3]).toBe("/volumes/{volume}/{folder}/{name}");
    for (const path of routePaths) expect(names.of(path.replace(/\{\w+\}/g, "x"))).toBe(path);
    for (const path of ["/", "", "/v2/tags", "/v1/", "/v1/volumes/", "/volumes//head", "/v1/volumes/a/b/c"]) {
      expect(names.of(path)).toBe(UNKNOWN_ROUTE);
    }
  });

  it("is sound: parameters are declared, references lead somewhere, every operation can fail", () => {
    expect(document.openapi).toBe("3.1.0");
    for (const [path, item] of Object.entries(document.paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(item.parameters.map(({ name }) => name)).toEqual(inPath);
      for (const method of methods) {
        const operation = item[method];
        if (operation === undefined) continue;
        expect(operation.summary.length, `${method} ${path}`).toBeGreaterThan(2);
        expect(Object.keys(operation.responses)).toContain("503");
        expect(Object.keys(operation.responses).every((status) => /^[1-5]\d\d$/.test(status))).toBe(true);
        expect(operation.parameters?.some((parameter) => parameter.in === "path") ?? false).toBe(false);
      }
    }
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    const used = new Set(references.map(([, name]) => name!));
    expect(used.size).toBeGreaterThan(10);
    for (const name of used) expect(document.components.schemas).toHaveProperty(name);
    expect(Object.keys(document.components.schemas).filter((name) => !used.has(name))).toEqual([]);
  });
});
