/** What the codec pool and its workers say to each other: jobs and results flattened, so that their buffers can be transferred. */

import type { FrameHash } from "../base/brand.ts";
import type { ErrorCode, ErrorDetails } from "../base/errors.ts";
import type { FrameCodec, FrameRef } from "../format/model.ts";

export interface EncodeRequest {
  readonly kind: "encode";
  readonly id: number;
  readonly pages: Uint32Array;
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  readonly framePages: number;
  readonly seed: Uint8Array;
}

export interface DecodeRequest {
  readonly kind: "decode";
  readonly id: number;
  /** The stored frames back to back. */
  readonly stored: Uint8Array;
  readonly frames: readonly {
    readonly frame: FrameRef;
    readonly pages: Uint32Array;
    readonly where: ErrorDetails;
  }[];
  readonly pageSize: number;
  readonly digestSeed: Uint8Array;
  /** Memory for the answer. */
  readonly reuse: Uint8Array | undefined;
}

export interface EncodeReply {
  readonly kind: "encoded";
  readonly id: number;
  /** The frames back to back. */
  readonly bytes: Uint8Array;
  readonly frames: readonly {
    readonly codec: FrameCodec;
    readonly length: number;
    readonly hash: FrameHash;
  }[];
  readonly digests: Uint8Array;
  /** The request's `bytes`, given back. */
  readonly spent: Uint8Array;
}

export interface DecodeReply {
  readonly kind: "decoded";
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly digests: Uint8Array;
}

export interface FailureReply {
  readonly kind: "failed";
  readonly id: number;
  readonly message: string;
  /** Undefined for anything but a PagefoldError. */
  readonly code: ErrorCode | undefined;
  readonly details: ErrorDetails;
}

export type CodecRequest = EncodeRequest | DecodeRequest;
export type CodecReply = EncodeReply | DecodeReply | FailureReply;
