/** Makes so many volumes at a server and subscribes to each on a connection of its own; says when all are connected, and stays until it is ended. */
import http from "node:http";

const [, , url, count] = process.argv;
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

function ask(method, path, body) {
  return new Promise((done, failed) => {
    const request = http.request(
      `${url}${path}`,
      { method, agent, headers: { "content-type": "application/json" } },
      (response) => {
        let said = "";
        response.on("data", (chunk) => {
          said += chunk;
        });
        response.on("end", () =>
          response.statusCode === 201
            ? done(JSON.parse(said))
            : failed(new Error(`${response.statusCode} ${said}`)),
        );
      },
    );
    request.on("error", failed);
    request.end(JSON.stringify(body));
  });
}

function subscribe(volume) {
  return new Promise((done, failed) => {
    http
      .get(`${url}/v1/events?volume=${volume}@0`, { agent: false }, (response) => {
        if (response.statusCode !== 200)
          return failed(new Error(`subscribing answered ${response.statusCode}`));
        response.resume();
        done();
      })
      .on("error", failed);
  });
}

let connected = 0;
const next = { value: 0 };
await Promise.all(
  Array.from({ length: 16 }, async () => {
    while (next.value++ < Number(count)) {
      const { volume } = await ask("POST", "/v1/volumes", {});
      await subscribe(volume);
      connected++;
    }
  }),
);
agent.destroy();
console.log(JSON.stringify({ connected }));
setInterval(() => {}, 60_000);
