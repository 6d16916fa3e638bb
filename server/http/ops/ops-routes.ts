/** The routes of operation: alive, ready, figures, and the description of all routes. */
import { Hono } from "hono";
import type { Authenticate } from "../principal.ts";
import { HttpError, problemResponse } from "../problem.ts";
import type { Readiness } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";

export interface OpsParts {
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  /** Who may read the metrics. */
  readonly metricsFor: "open" | "admin" | "off";
  readonly authenticate: Authenticate | undefined;
  readonly version: string;
}

export const OPS_ROUTES = ["/healthz", "/readyz", "/metrics", "/openapi.json"] as const;

/** Nothing here is a page, and nothing of it is to be kept. */
const HEADERS = { "cache-control": "no-store", "content-security-policy": "default-src 'none'" };

export function opsRoutes(parts: OpsParts): Hono {
  const app = new Hono();
  app.get("/healthz", () => new Response("ok\n", { headers: HEADERS }));
  app.get("/readyz", async () => {
    const problem = await parts.readiness.problem();
    return problem === undefined ? new Response("ready\n", { headers: HEADERS }) : problemResponse(problem);
  });
  app.get("/metrics", async (c) => {
    if (parts.metricsFor === "off")
      throw new HttpError(404, "not_found", "this server has no metrics to show");
    if (parts.metricsFor === "admin" && parts.authenticate !== undefined) {
      const principal = await parts.authenticate(c.req.raw);
      if (!principal.may("admin", { tags: [] })) {
        throw new HttpError(403, "forbidden", "metrics are for holders of admin on everything");
      }
    }
    return new Response(await parts.metrics.text(), {
      headers: { ...HEADERS, "content-type": parts.metrics.registry.contentType },
    });
  });
  app.get("/openapi.json", () =>
    Response.json(openApiDocument(parts.version), { headers: { ...HEADERS, "cache-control": "no-cache" } }),
  );
  app.onError((error) => problemResponse(error));
  app.notFound((c) =>
    problemResponse(
      new HttpError(405, "invalid", `${c.req.path} is only read`, { headers: { allow: "GET, HEAD" } }),
    ),
  );
  return app;
}
