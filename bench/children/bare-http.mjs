/** A bare node:http server: the same bytes for every GET; `/events` is a stream of server-sent events that echoes what is posted to `/say`. */
import http from "node:http";

const body = Buffer.alloc(Number(process.argv[2]), 120);
const listeners = new Set();

const server = http.createServer((request, response) => {
  if (request.url === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    listeners.add(response);
    request.on("close", () => listeners.delete(response));
  } else if (request.url === "/say") {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      for (const listener of listeners) listener.write(`data: ${text}\n\n`);
      response.writeHead(204).end();
    });
  } else {
    response.writeHead(200, { "content-length": body.length, "content-type": "application/octet-stream" });
    response.end(body);
  }
});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/` }));
});
