/** A database that is shared with other tabs, as a connection: what `openDatabase` makes of the roles of this tab. */
import { abortedError } from "../../../src/base/errors.ts";
import { noopRecorder } from "../../../src/base/recorder.ts";
import type { Connected, ConnectOptions } from "../../connect.ts";
import type { SessionEvent } from "../../session/protocol.ts";
import type { TabRequest } from "./messages.ts";
import { Roles } from "./roles.ts";
import { TabClient } from "./tab-client.ts";

export { tabsCanMeet } from "./locks.ts";

export interface ShareOptions {
  /** Name of the local store, the same in all tabs. */
  readonly storage: string;
  /** The tag or id of the volume. */
  readonly name: string;
  readonly options: ConnectOptions;
  /** Opens it in this tab. */
  readonly open: (signal: AbortSignal) => Promise<Connected>;
}

/** Leads, or is served by the tab that leads; resolves when SQL can run. */
export async function shareWithTabs({ storage, name, options, open }: ShareOptions): Promise<Connected> {
  let tell: (event: SessionEvent) => void = () => {};
  const roles = new Roles({
    storage,
    name,
    request: requestOf(options),
    openHere: open,
    onEvent: (event) => tell(event),
  });
  const client = new TabClient(roles);
  await firstRole(roles, options.signal);
  return {
    client,
    recorder: options.recorder ?? noopRecorder,
    cost: () => roles.cost(),
    onEvent: (listener) => {
      tell = listener;
    },
    listen: (names) => roles.listen(names),
    close: () => roles.close(),
    ended: new Promise(() => {}),
    attach: () => {
      throw new Error("unreachable: sessions are attached to what is open in one tab");
    },
  };
}

async function firstRole(roles: Roles, signal: AbortSignal | undefined): Promise<void> {
  const onAbort = (): void => void roles.close();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await roles.current();
  } catch (error) {
    await roles.close();
    throw signal?.aborted ? abortedError("opening the database", signal.reason) : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** What the leader needs to know of how this tab wants it. */
function requestOf(options: ConnectOptions): TabRequest {
  const { lsn, time, readOnly, create, tempBytes, busyTimeoutMs } = options;
  const request = { lsn, time, readOnly, create, tempBytes, busyTimeoutMs };
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
}
