/** An ObjectStore that reads over HTTP/1.1 with kept-alive connections, and the bare request that it consists of. */
import http from "node:http";

/** One ranged GET: the bytes, or undefined for 404. */
export function getRange(agent, base, key, offset, length) {
  return new Promise((done, failed) => {
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    http
      .get(`${base}/${key}`, { agent, headers }, (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", failed);
        response.on("end", () => {
          if (response.statusCode === 404) return done(undefined);
          if (response.statusCode === 416) return done(new Uint8Array(0));
          if (response.statusCode !== 206) return failed(new Error(`answered ${response.statusCode}`));
          done(new Uint8Array(Buffer.concat(chunks)));
        });
      })
      .on("error", failed);
  });
}

export function httpStore(agent, base) {
  const refuse = async () => {
    throw new Error("this store only reads");
  };
  return {
    url: base,
    capabilities: { write: false, list: false, conditionalCreate: "no" },
    async get(key, { range } = {}) {
      return getRange(agent, base, key, range?.offset ?? 0, range?.length ?? 2 ** 30);
    },
    put: refuse,
    list: refuse,
    delete: refuse,
    async close() {},
    async [Symbol.asyncDispose]() {},
  };
}
