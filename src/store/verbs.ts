/**
 * What a volume can do besides being read, moved and written locally. Together in one module of its own, so that a browser that only reads need not load
 * it; `load-verbs.ts` is the way to it.
 */
export { exportState } from "../file/export.ts";
export { importSource } from "../file/import.ts";
export { bufferedWrites } from "../file/write.ts";
export { checkpointAfterPush } from "../history/checkpoint-after-push.ts";
export { collectVolume } from "../history/collect.ts";
export { collectDeleted } from "../history/collect-deleted.ts";
export { compactVolume } from "../history/compact.ts";
export { deleteVolume, undeleteVolume } from "../history/delete-volume.ts";
export { detachVolume } from "../history/detach.ts";
export { diffStates } from "../history/diff.ts";
export { forkVolume } from "../history/fork.ts";
export { keptHistory } from "../history/kept-history.ts";
export { readLog } from "../history/log-filter.ts";
export { parentOf } from "../history/merge.ts";
export { promote, rebase } from "../history/promote.ts";
export { restoreVolume } from "../history/restore.ts";
export { getRetention, setRetention } from "../history/retention.ts";
export { verify } from "../history/verify/verify.ts";
export { assertWritable } from "../remote/writable.ts";
export { follow } from "../replicate/follow.ts";
export { hydrate } from "../replicate/hydrate.ts";
export { lsnAt } from "../replicate/lsn-at.ts";
export { stateOf } from "../replicate/past.ts";
export { push } from "../replicate/push.ts";
export { listTags, removeTag, setTag, tagHistory } from "./tag-verbs.ts";
export { volumeTags } from "./volume-tags.ts";
