import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemRuntime } from "../../src/base/runtime.ts";
import { S3ObjectStore } from "../../src/node/s3.ts";
import { assertWritable, probeConditionalCreate } from "../../src/remote/writable.ts";
import { objectStoreContract } from "../contracts/object-store.ts";
import { fauxqsCredentials, type S3Server, startFauxqs } from "./fauxqs.ts";

const credentials = fauxqsCredentials;
let server: S3Server;
let endpoint: string;
beforeAll(async () => {
  server = await startFauxqs();
  endpoint = server.endpoint;
});
afterAll(async () => {
  await server.stop();
});

objectStoreContract(
  { describe, it },
  "S3 (fauxqs, without conditional creation)",
  async () => {
    const prefix = `t/${randomUUID()}`;
    const open = () => new S3ObjectStore({ bucket: "pagefold", prefix, endpoint, credentials });
    return { store: open(), reopen: async () => open() };
  },
  {
    largeMemoryLimit: 400 * 1_048_576,
    except: {
      "lists odd keys in byte order": "fauxqs sorts by locale; the store finds that out and says so",
    },
  },
);

describe("S3 store on a server that ignores conditional creation", () => {
  it("is found out by the probe and refused for writing", async () => {
    const store = new S3ObjectStore({ bucket: "pagefold", prefix: "probed", endpoint, credentials });
    expect(await probeConditionalCreate(store, systemRuntime)).toBe(false);
    await expect(assertWritable(store, systemRuntime)).rejects.toMatchObject({
      code: "forbidden",
      message: expect.stringContaining("conditional creation"),
    });
    expect(await store.list("")).toEqual([]);
    await store.close();
  });
});

const real = {
  endpoint: process.env.PAGEFOLD_TEST_S3_ENDPOINT ?? "",
  bucket: process.env.PAGEFOLD_TEST_S3_BUCKET ?? "",
};
if (real.endpoint !== "") {
  // Set where the server keeps objects as files of their own names.
  const fileNames = process.env.PAGEFOLD_TEST_S3_KEYS === "file-names";
  objectStoreContract(
    { describe, it },
    "S3 (a server with conditional creation)",
    async () => {
      const prefix = `t/${randomUUID()}`;
      const open = () => new S3ObjectStore({ ...real, prefix });
      return {
        store: open(),
        reopen: async () => open(),
        dispose: async () => {
          const store = open();
          await store.delete((await store.list("", { limit: 1_000_000 })).map(({ key }) => key));
          await store.close();
        },
      };
    },
    {
      largeMemoryLimit: 400 * 1_048_576,
      except: fileNames
        ? { "holds keys whose parts are longer than a file name": "this server keeps objects as files" }
        : {},
    },
  );
  describe("S3 store on a server with conditional creation", () => {
    it("is found writable", async () => {
      const store = new S3ObjectStore({ ...real, prefix: `t/${randomUUID()}` });
      expect(await probeConditionalCreate(store, systemRuntime)).toBe(true);
      await store.close();
    });
  });
} else {
  describe("S3 (a server with conditional creation)", () => {
    it("the whole contract", (ctx) => ctx.skip("PAGEFOLD_TEST_S3_ENDPOINT is not set"));
  });
}
