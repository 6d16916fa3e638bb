/** Server-sent events (the WHATWG HTML standard, "Server-sent events") from the chunks of a body, for runtimes without an EventSource or with tokens to send. */

export interface ServerEvent {
  /** "message" where the stream names none. */
  readonly event: string;
  readonly data: string;
  /** The last id of the stream so far. */
  readonly id: string;
}

/** What a stream is heard saying: an event, or a sign of life (a comment line). */
export type Heard = ServerEvent | "beat";

/** Longest event that is taken in, in characters: a commit object of 64 KiB in base64, and room. */
const MAX_EVENT_CHARACTERS = 1 << 20;

/** Throws a RangeError for an event that never ends. */
export async function* serverEvents(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Heard, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  let size = 0;
  let id = "";
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // A CR at the very end may be the first half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    size += rest.length;
    if (size > MAX_EVENT_CHARACTERS) throw new RangeError("an event that is too long");
    size -= rest.length;
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { event: event === "" ? "message" : event, data: data.join("\n"), id };
        event = "";
        data = [];
        size = 0;
        continue;
      }
      if (line.startsWith(":")) {
        yield "beat";
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event = value;
      else if (field === "data") {
        data.push(value);
        size += value.length;
      } else if (field === "id" && !value.includes("\0")) id = value;
    }
  }
}
