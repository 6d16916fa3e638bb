/**
 * What a volume can do besides being read, moved and written locally. Together in one module of its own, so that a browser that only reads need not load
 * it; `load-verbs.ts` is the way to it.
 */
export { exportState } from "../file/export.ts";
export { importSource } from "../file/import.ts";
export { bufferedWrites } from "../file/write.ts";
export { collectVolume } from "../history/collect/collect.ts";
export { collectDeleted } from "../history/collect/collect-deleted.ts";
export { checkpointAfterPush } from "../history/compact/checkpoint-after-push.ts";
export { compactVolume } from "../history/compact/compact.ts";
export { deleteVolume, undeleteVolume } from "../history/delete/delete-volume.ts";
export { detachVolume } from "../history/fork/detach.ts";
export { forkVolume } from "../history/fork/fork.ts";
export { parentOf } from "../history/fork/merge.ts";
export { promote, rebase } from "../history/fork/promote.ts";
export { keptHistory } from "../history/keep/kept-history.ts";
export { getRetention, setRetention } from "../history/keep/retention.ts";
export { diffStates } from "../history/travel/diff.ts";
export { readLog } from "../history/travel/log-filter.ts";
export { restoreVolume } from "../history/travel/restore.ts";
export { verify } from "../history/verify/verify.ts";
export { assertWritable } from "../remote/writable.ts";
export { follow } from "../replicate/follow.ts";
export { hydrate } from "../replicate/hydrate.ts";
export { lsnAt } from "../replicate/lsn-at.ts";
export { stateOf } from "../replicate/past.ts";
export { push } from "../replicate/push.ts";
export { listTags, removeTag, setTag, tagHistory } from "./tag-verbs.ts";
export { volumeTags } from "./volume-tags.ts";
