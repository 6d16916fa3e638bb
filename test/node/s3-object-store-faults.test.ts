import { inspect } from "node:util";
import { S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemRuntime } from "../../src/base/runtime.ts";
import { S3ObjectStore } from "../../src/node/s3.ts";
import { assertWritable, probeConditionalCreate } from "../../src/remote/writable.ts";
import { type TinyFault, TinyS3 } from "./tiny-s3.ts";

const credentials = { accessKeyId: "AKIDSECRET", secretAccessKey: "very-secret" };
const bytes = (s: string) => new TextEncoder().encode(s);

describe("S3 store when answers are lost, late or odd", () => {
  let server: TinyS3;
  let endpoint: string;
  let store: S3ObjectStore;
  beforeEach(async () => {
    server = new TinyS3();
    endpoint = await server.listen();
    store = new S3ObjectStore({
      bucket: "b",
      prefix: "p",
      endpoint,
      credentials,
    });
  });
  afterEach(async () => {
    await store.close();
    await server.close();
  });

  /** The nth request and the following ones of a kind meet these faults, one each. */
  function faults(method: string, ...script: (TinyFault | undefined)[]): void {
    let n = 0;
    server.fault = (request) => (request.startsWith(method) ? script[n++] : undefined);
  }
  const put = (body: string) => store.put("k", bytes(body), { ifAbsent: true });

  it("invariant 5: recognises its own create behind a lost answer, by metadata or by bytes", async () => {
    for (const keepsMetadata of [true, false]) {
      server.objects.clear();
      server.keepsMetadata = keepsMetadata;
      faults("PUT", "lose");
      expect(await put("ours")).toBe("created");
      expect(await put("theirs")).toBe("exists");
      expect(await store.get("k")).toEqual(bytes("ours"));
    }
  });

  it("invariant 5: recognises its own create when every answer is lost", async () => {
    faults("PUT", "lose", "lose", "lose", "lose");
    expect(await put("ours")).toBe("created");
  });

  it("invariant 5: does not take another's equal bytes for its own", async () => {
    expect(await put("same")).toBe("created");
    faults("PUT", "cut");
    expect(await put("same")).toBe("exists");
    faults("PUT", "lose");
    expect(await put("same")).toBe("exists");
  });

  it("says exists when another's object came first and the answer was lost", async () => {
    await put("theirs");
    for (const script of [
      ["lose"],
      ["cut", "cut", "cut", "cut"],
      [{ status: 500 }, { status: 503 }, { status: 500 }],
    ] as const) {
      faults("PUT", ...script);
      expect(await put("ours")).toBe("exists");
    }
  });

  it("says unavailable when the create failed and nothing is there", async () => {
    faults("PUT", "cut", "cut", "cut", "cut");
    await expect(put("ours")).rejects.toMatchObject({ code: "unavailable", retryable: true });
    // Nor when it cannot be found out.
    server.fault = () => "cut";
    await expect(put("ours")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("sends a create again after 409, and gives up in the end", async () => {
    const conflict = { status: 409, code: "ConditionalRequestConflict" };
    faults("PUT", conflict, conflict);
    expect(await put("ours")).toBe("created");
    server.objects.clear();
    server.fault = (request) => (request.startsWith("PUT") ? conflict : undefined);
    await expect(put("ours")).rejects.toMatchObject({ code: "unavailable", retryable: true });
  });

  it("finds a server that rejects the condition, and refuses to write there", async () => {
    const noCondition = { status: 501, code: "NotImplemented" };
    let n = 0;
    // The first PUT of the probe carries the condition; the plain one that follows is taken.
    server.fault = (request) =>
      request.startsWith("PUT /b/p/probe/") && n++ === 0 ? noCondition : undefined;
    expect(await probeConditionalCreate(store, systemRuntime)).toBe(false);
    await expect(assertWritable(store, systemRuntime)).rejects.toMatchObject({ code: "forbidden" });
    expect(server.objects.size).toBe(0);
  });

  it("does not blame conditional creation for other refusals", async () => {
    server.fault = () => ({ status: 301, code: "PermanentRedirect" });
    await expect(probeConditionalCreate(store, systemRuntime)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("region"),
    });
    server.fault = () => undefined;
    expect(await probeConditionalCreate(store, systemRuntime), "a failed probe is not remembered").toBe(true);
    const before = server.requests.length;
    expect(await probeConditionalCreate(store, systemRuntime)).toBe(true);
    expect(server.requests.length, "a finished one is").toBe(before);
  });

  it("maps what servers answer to codes", async () => {
    const cases: [TinyFault, string][] = [
      [{ status: 404, code: "NoSuchBucket" }, "not_found"],
      [{ status: 404, code: "XAdminUserNotFound" }, "unauthorized"],
      [{ status: 403, code: "AccessDenied" }, "forbidden"],
      [{ status: 403, code: "InvalidAccessKeyId" }, "unauthorized"],
      [{ status: 403, code: "SignatureDoesNotMatch" }, "unauthorized"],
      [{ status: 400, code: "ExpiredToken" }, "unauthorized"],
      [{ status: 401, code: "Unauthorized" }, "unauthorized"],
      [{ status: 403, code: "QuotaExceeded" }, "quota"],
      [{ status: 507, code: "XMinioStorageFull" }, "quota"],
      [{ status: 400, code: "InvalidArgument" }, "invalid"],
      [{ status: 503, code: "SlowDown" }, "unavailable"],
      [{ status: 500, code: "InternalError" }, "unavailable"],
      [{ status: 500, body: "<html>not xml of S3" }, "unavailable"],
      ["cut", "unavailable"],
    ];
    // One attempt each: waiting for the SDK's repetitions would show nothing more.
    const client = new S3Client({
      endpoint,
      region: "us-east-1",
      credentials,
      forcePathStyle: true,
      maxAttempts: 1,
    });
    const once = new S3ObjectStore({ bucket: "b", client });
    for (const [fault, code] of cases) {
      server.fault = () => fault;
      for (const work of [
        () => once.get("k"),
        () => once.put("k", bytes("x")),
        () => once.put("k", bytes("x"), { ifAbsent: true }),
        () => once.list(""),
      ]) {
        const error: unknown = await work().then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(error, JSON.stringify(fault)).toMatchObject({ code });
        expect(inspect(error, { depth: 10 })).not.toMatch(/AKIDSECRET|very-secret/);
      }
    }
    await once.close();
    client.destroy();
  });

  it("reports an endpoint where nobody listens", async () => {
    const nobody = new S3ObjectStore({
      bucket: "b",
      endpoint: "http://127.0.0.1:9",
      credentials,
    });
    await expect(nobody.get("k")).rejects.toMatchObject({ code: "unavailable", retryable: true });
    await nobody.close();
  });

  it("says what is missing where there is no region", async () => {
    const unset = { AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" };
    const saved = { ...process.env };
    try {
      for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
      Object.assign(process.env, unset);
      const nowhere = new S3ObjectStore({ bucket: "b", credentials });
      await expect(nowhere.get("k")).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringContaining("AWS_REGION"),
      });
      await nowhere.close();
    } finally {
      for (const name of Object.keys(unset)) delete process.env[name];
      Object.assign(process.env, saved);
    }
  });

  it("cuts the range out itself where a server ignores ranges", async () => {
    server.ignoresRanges = true;
    const big = new Uint8Array(200_000).map((_, i) => i % 251);
    await store.put("big", big);
    for (const [offset, length] of [
      [0, 10],
      [100_000, 70_000],
      [199_990, 100],
      [200_000, 5],
    ] as const) {
      expect(await store.get("big", { range: { offset, length } })).toEqual(
        big.slice(offset, offset + length),
      );
    }
  });

  it("deletes one by one where there is no batch deletion", async () => {
    for (const key of ["a", "b", "c"]) await store.put(key, bytes(key));
    await store.delete(["a", "b", "absent"]);
    expect([...server.objects.keys()]).toEqual(["/b/p/c"]);
    const before = server.requests.length;
    await store.delete(["c", "absent"]);
    expect(server.requests.slice(before).sort(), "it is asked once").toEqual([
      "DELETE /b/p/absent",
      "DELETE /b/p/c",
    ]);
  });
});
