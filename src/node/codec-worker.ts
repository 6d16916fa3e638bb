/** Entry of a codec worker: compresses, decompresses, hashes; keeps nothing between jobs but loaded code. */
import { parentPort } from "node:worker_threads";
import { isPagefoldError } from "../base/errors.ts";
import { concatBytes } from "../format/bytes.ts";
import { type Codecs, loadCodecs } from "../format/codecs.ts";
import { decodeFrames } from "../format/frame-decoder.ts";
import { encodeBatch } from "../format/frame-encoder.ts";
import type { CodecReply, CodecRequest, DecodeRequest, EncodeRequest } from "./codec-messages.ts";
import { nativeZstd } from "./native-zstd.ts";

const native = nativeZstd();
const loading = loadCodecs(native === undefined ? {} : { nativeZstd: native });

parentPort?.on("message", async (request: CodecRequest) => {
  let reply: CodecReply;
  try {
    const codecs = await loading;
    reply = request.kind === "encode" ? encode(codecs, request) : decode(codecs, request);
  } catch (error) {
    reply = {
      kind: "failed",
      id: request.id,
      message: error instanceof Error ? error.message : String(error),
      code: isPagefoldError(error) ? error.code : undefined,
      details: isPagefoldError(error) ? error.details : {},
    };
  }
  parentPort?.postMessage(reply, buffersOf(reply));
});

function buffersOf(reply: CodecReply): ArrayBuffer[] {
  if (reply.kind === "failed") return [];
  const views = [reply.bytes, reply.digests, ...(reply.kind === "encoded" ? [reply.spent] : [])];
  return views.map(({ buffer }) => buffer as ArrayBuffer);
}

function encode(codecs: Codecs, request: EncodeRequest): CodecReply {
  const { frames, digests } = encodeBatch(codecs, request, codecs.hash.pageDigests(request.seed));
  return {
    kind: "encoded",
    id: request.id,
    bytes: concatBytes(frames.map(({ bytes }) => bytes)),
    frames: frames.map(({ codec, bytes, hash }) => ({ codec, length: bytes.length, hash })),
    digests,
    spent: request.bytes,
  };
}

function decode(codecs: Codecs, request: DecodeRequest): CodecReply {
  let at = 0;
  const frames = request.frames.map(({ frame, pages, where }) => {
    const stored = request.stored.subarray(at, at + frame.length);
    at += frame.length;
    return { frame, stored, pages, where };
  });
  const { pageSize, digestSeed, reuse } = request;
  const { bytes, digests } = decodeFrames(codecs, { frames, pageSize, digestSeed }, reuse);
  return { kind: "decoded", id: request.id, bytes, digests };
}
