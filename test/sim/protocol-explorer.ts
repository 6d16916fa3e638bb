/**
 * Every interleaving of a few clients of one volume over a toy store, running the decisions that run in production (push-machine.ts,
 * verb-machine.ts): a search through all states that can be reached, breadth first, so that the first violation comes with a
 * shortest trace. Clients crash after any step; a PUT whose answer is lost takes effect at any later step, or never. Nothing is sampled,
 * nothing is random.
 *
 * History (floors, collection, forks, restores) is explored in history-explorer.ts, over a store of its own.
 *
 * A state is plain data and finite, because clients may write only so often: commits have names that are used again once nothing
 * mentions them, a crash forgets what is not durable, and the count of attempts (on which no decision depends but giving up,
 * which may happen at any time here) is left out.
 */
import * as push from "../../src/replicate/push-machine.ts";
import { nextStep, type Verb } from "../../src/replicate/verb-machine.ts";

/** The functions under test; mutants replace some. */
export interface Machine {
  readonly pushAction: typeof push.pushAction;
  readonly pushNext: typeof push.pushNext;
  readonly recoveredPush: push.PushState;
  readonly whose: typeof push.whose;
  readonly closing: typeof push.closing;
  readonly nextStep: typeof nextStep;
}

export const realMachine: Machine = { ...push, nextStep };

/** What one client may do. */
export interface ClientPlan {
  readonly name: string;
  /** How often it may commit locally. */
  readonly writes: number;
  readonly verbs: readonly Verb[];
  /** How often it may import: push a commit that holds no local ones. Default 0. */
  readonly imports?: number;
}

export interface Scenario {
  readonly clients: readonly ClientPlan[];
  /** The store may refuse a PUT for certain (no permission, no space), and take the next one. */
  readonly refusals?: boolean;
  /** The search goes no further than so many steps; default: to the end. */
  readonly depth?: number;
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** Steps of the longest shortest way to a state. */
  readonly depth: number;
  /** Kinds of steps that were taken, with how often. */
  readonly kinds: ReadonlyMap<string, number>;
  readonly violation?: { readonly problem: string; readonly trace: readonly string[] };
}

/** One change of content, with all that its writer saw before it. */
interface Change {
  readonly name: string;
  readonly on: string;
}

interface Commit {
  readonly id: string;
  readonly owner: number;
  readonly lsn: number;
  readonly holds: readonly Change[];
}

interface Running {
  readonly verb: Verb | "import";
  /** The whole log as it was learned. */
  readonly learned?: readonly Commit[];
  readonly acted: boolean;
  readonly push?: push.PushState;
  /** The push is this verb's own, not one that an earlier verb left open. */
  readonly publishing?: true;
}

interface Client {
  /** Durable: the commits it stands on, local commits, the open push. */
  readonly chain: readonly Commit[];
  readonly unpushed: readonly Change[];
  readonly intent?: { readonly commit: Commit; readonly through: number };
  /** Kept outside of the system: what its user was told. */
  readonly acknowledged: readonly string[];
  readonly dropped: readonly string[];
  /** Commits of its own that it knows to be in the log although it does not stand on them. */
  readonly told: readonly string[];
  readonly written: number;
  readonly imported: number;
  /** Lost by a crash. */
  readonly running?: Running;
}

interface State {
  /** By LSN − 1. A gap is null. */
  readonly log: readonly (Commit | null)[];
  /** Sent, not answered, not arrived. */
  readonly inFlight: readonly Commit[];
  readonly clients: readonly Client[];
}

interface Step {
  readonly kind: string;
  readonly text: string;
  readonly next: State;
}

const MAX_STATES = 400_000;

export function explore(scenario: Scenario, machine: Machine = realMachine): Exploration {
  return new Explorer(scenario, machine).run();
}

class Explorer {
  readonly #scenario: Scenario;
  readonly #machine: Machine;
  readonly #finished = new Set<string>();

  constructor(scenario: Scenario, machine: Machine) {
    this.#scenario = scenario;
    this.#machine = machine;
  }

  run(): Exploration {
    const fresh: Client = {
      chain: [],
      unpushed: [],
      acknowledged: [],
      dropped: [],
      told: [],
      written: 0,
      imported: 0,
    };
    const start: State = { log: [], inFlight: [], clients: this.#scenario.clients.map(() => fresh) };
    const seen = new Set([keyOf(start)]);
    // Only the states of two levels are kept whole; of all others the step that led there.
    const cameBy: { readonly from: number; readonly text: string }[] = [{ from: -1, text: "start" }];
    const kinds = new Map<string, number>();
    let level: { readonly state: State; readonly index: number }[] = [{ state: start, index: 0 }];
    let transitions = 0;
    let depth = 0;
    const found = (problem: string | undefined, trace: readonly string[]): Exploration => ({
      states: seen.size,
      transitions,
      depth,
      kinds,
      ...(problem === undefined ? {} : { violation: { problem, trace } }),
    });
    while (level.length > 0 && depth < (this.#scenario.depth ?? Number.POSITIVE_INFINITY)) {
      const nextLevel: typeof level = [];
      for (const { state, index } of level) {
        for (const step of this.#steps(state)) {
          transitions++;
          kinds.set(step.kind, (kinds.get(step.kind) ?? 0) + 1);
          const key = keyOf(step.next);
          if (seen.has(key)) continue;
          seen.add(key);
          cameBy.push({ from: index, text: step.text });
          const reached = cameBy.length - 1;
          const problem = complaint(step.next) ?? this.#stuck(step.next);
          if (problem !== undefined) return found(problem, traceTo(cameBy, reached));
          if (seen.size > MAX_STATES) return found("more states than expected: the search does not end", []);
          nextLevel.push({ state: step.next, index: reached });
        }
      }
      level = nextLevel;
      if (level.length > 0) depth++;
    }
    return found(undefined, []);
  }

  /** Everything that can happen next. */
  *#steps(state: State): Generator<Step> {
    for (const commit of state.inFlight) {
      yield { kind: "land", text: `the PUT of ${show(commit)} arrives late`, next: land(state, commit) };
    }
    for (const [i, client] of state.clients.entries()) {
      const plan = this.#scenario.clients[i]!;
      const { name } = plan;
      if (client.written < plan.writes && !holdsWriters(client)) {
        const change = { name: `${name}${client.written + 1}`, on: visible(client).join() };
        const next = { unpushed: [...client.unpushed, change], written: client.written + 1 };
        yield { kind: "write", text: `${name} commits ${change.name} locally`, next: set(state, i, next) };
      }
      if (client.running === undefined) {
        for (const verb of plan.verbs) {
          const text = `${name} begins to ${verb}`;
          yield { kind: `begin ${verb}`, text, next: set(state, i, { running: { verb, acted: false } }) };
        }
        if (client.imported < (plan.imports ?? 0)) {
          const running: Running = { verb: "import", acted: false };
          yield { kind: "begin import", text: `${name} begins to import`, next: set(state, i, { running }) };
        }
      } else {
        // Also an abort, an answer to a read that never comes, and giving up after many attempts.
        yield { kind: "crash", text: `${name} crashes`, next: stop(state, i) };
        yield* this.#advance(state, i, false);
      }
    }
  }

  /** The next step of a running verb, in every way that it can go; `honest`: only the way in which the store answers. */
  *#advance(state: State, i: number, honest: boolean): Generator<Step> {
    const { machine, name } = { machine: this.#machine, name: this.#scenario.clients[i]!.name };
    const client = state.clients[i]!;
    const running = client.running!;
    if (running.push !== undefined) {
      yield* this.#advancePush(state, i, running, running.push, honest);
      return;
    }
    const step = machine.nextStep(running.verb === "import" ? "push" : running.verb, {
      intentOpen: client.intent !== undefined,
      // An import publishes something where a push has something unpushed.
      unpushed: running.verb === "import" ? (running.acted ? 0 : 1) : client.unpushed.length,
      base: client.chain.length,
      head: running.learned?.length,
      acted: running.acted,
    });
    const as = (kind: string, text: string, next: State): Step => ({ kind, text: `${name} ${text}`, next });
    switch (step) {
      case "settle":
        yield* this.#advancePush(state, i, running, machine.recoveredPush, honest);
        return;
      case "learn": {
        const learned = state.log.filter((commit) => commit !== null);
        const next = set(state, i, { running: { ...running, learned } });
        yield as("learn", `learns that the log has ${learned.length} commits`, next);
        return;
      }
      case "move":
        yield as(
          "move",
          `moves to LSN ${running.learned!.length}`,
          set(state, i, { chain: running.learned! }),
        );
        return;
      case "publish":
        yield* this.#publish(state, i, running, as);
        return;
      case "drop": {
        const dropped = [...client.dropped, ...client.unpushed.map((change) => change.name)];
        const next = set(state, i, { unpushed: [], dropped, running: { ...running, acted: true } });
        yield as("drop", "drops its local commits", next);
        return;
      }
      default:
        yield as(step, `is told: ${step}`, stop(state, i));
    }
  }

  /** Makes the commit and writes the intent down. */
  *#publish(
    state: State,
    i: number,
    running: Running,
    as: (kind: string, text: string, next: State) => Step,
  ): Generator<Step> {
    const client = state.clients[i]!;
    const { name } = this.#scenario.clients[i]!;
    const isImport = running.verb === "import";
    if (isImport && client.unpushed.length > 0) {
      yield as("conflict", "is told: there are local commits", stop(state, i));
      return;
    }
    const change = { name: `${name}i${client.imported + 1}`, on: visible(client).join() };
    const holds = isImport ? [change] : client.unpushed;
    const commit = { id: freeId(state, name), owner: i, lsn: client.chain.length + 1, holds };
    const next = set(state, i, {
      intent: { commit, through: isImport ? 0 : client.written },
      imported: client.imported + (isImport ? 1 : 0),
      running: { ...running, push: push.freshPush, publishing: true },
    });
    yield as("record", `records ${show(commit)}`, next);
  }

  *#advancePush(
    state: State,
    i: number,
    running: Running,
    at: push.PushState,
    honest: boolean,
  ): Generator<Step> {
    const { pushAction, pushNext, whose, closing } = this.#machine;
    const { name } = this.#scenario.clients[i]!;
    const client = state.clients[i]!;
    const { commit, through } = client.intent!;
    const after = (s: State, event: push.PushEvent): State =>
      set(s, i, { running: { ...running, push: pushNext(at, event) } });
    const as = (kind: string, text: string, next: State): Step => ({ kind, text: `${name} ${text}`, next });
    const stored = state.log[commit.lsn - 1] ?? undefined;
    const action = pushAction(at);
    switch (action.do) {
      case "create": {
        const answer = stored === undefined ? "created" : "exists";
        yield as(answer, `puts ${show(commit)}: ${answer}`, after(arrive(state, commit), { answer }));
        if (honest) return;
        const sent = after(send(state, commit), { answer: "unknown" });
        yield as("unknown", `puts ${show(commit)}: no answer`, sent);
        if (this.#scenario.refusals) {
          yield as("refused", `puts ${show(commit)}: refused`, after(state, { answer: "refused" }));
        }
        return;
      }
      case "readBack": {
        const found =
          stored === undefined
            ? "absent"
            : whose({ pushId: commit.id, hash: commit.id }, { pushId: stored.id, hash: stored.id });
        yield as("read back", `reads commit ${commit.lsn} back: ${found}`, after(state, { found }));
        return;
      }
      case "askFloor":
        // Nothing is collected here: what a collector does to pushes is in history-explorer.ts.
        yield as("ask floor", "asks for the floor: none", after(state, { floor: "notAbove" }));
        return;
      case "readNext":
        throw new Error("a push reads the next commit although there is no floor");
      case "finish": {
        const outcome = closing(action.result, through, client.unpushed.length);
        const { intent: _, running: __, ...closed } = client;
        const { push: ___, publishing, ...verb } = running;
        // Of its own push a verb tells the outcome and ends, unless it won; after settling an earlier one it goes on.
        const failed = publishing === true && outcome !== "won";
        const goesOn = failed ? {} : { running: { ...verb, acted: publishing === true } };
        const isTold = outcome === "lost" && action.result === "won";
        const next: Client = {
          ...closed,
          ...(outcome === "won"
            ? {
                chain: [...client.chain, commit],
                unpushed: client.unpushed.filter((change) => Number(change.name.slice(1)) > through),
                acknowledged: [...client.acknowledged, ...commit.holds.map((change) => change.name)],
              }
            : {}),
          ...(isTold ? { told: [...client.told, commit.id] } : {}),
          ...goesOn,
        };
        const clients = state.clients.with(i, next);
        yield as(`finish ${outcome}`, `writes down: ${outcome}`, { ...state, clients });
        return;
      }
    }
  }

  /** Whether some client of this state cannot end its work although the store answers; memoised by what is durable. */
  #stuck(state: State): string | undefined {
    let still = state;
    for (const i of state.clients.keys()) still = stop(still, i);
    const key = keyOf(still);
    if (this.#finished.has(key)) return undefined;
    this.#finished.add(key);
    for (const arrived of [false, true]) {
      let s = still;
      if (arrived) for (const commit of still.inFlight) s = land(s, commit);
      for (const verbs of [["push"], ["reset", "pull"]] as const) {
        for (const i of s.clients.keys()) {
          for (const verb of verbs) {
            const end = this.#runToEnd(s, i, verb);
            if (typeof end === "string") return end;
            s = end;
          }
        }
      }
      const log = s.log.map((commit) => commit?.id).join();
      for (const [i, client] of s.clients.entries()) {
        const at = client.chain.map(({ id }) => id).join();
        const { name } = this.#scenario.clients[i]!;
        if (client.intent !== undefined) return `${name} has an open push after everything was finished`;
        if (client.unpushed.length > 0) return `${name} has local commits after a reset`;
        if (at !== log) return `${name} stands on ${at}, the log is ${log}`;
      }
    }
    return undefined;
  }

  #runToEnd(from: State, i: number, verb: Verb): State | string {
    let state = set(from, i, { running: { verb, acted: false } });
    for (let steps = 0; state.clients[i]!.running !== undefined; steps++) {
      if (steps > 40) return `${this.#scenario.clients[i]!.name} cannot finish ${verb}`;
      const [step] = this.#advance(state, i, true);
      if (step === undefined) return `${this.#scenario.clients[i]!.name} has no next step in ${verb}`;
      state = step.next;
      const problem = complaint(state);
      if (problem !== undefined) return `finishing: ${problem}`;
    }
    return state;
  }
}

/** What is wrong with a state; undefined where all is well. */
function complaint(state: State): string | undefined {
  const changes: Change[] = [];
  for (const [n, commit] of state.log.entries()) {
    if (commit === null) return `invariant 4: the log has a gap at LSN ${n + 1}`;
    for (const change of commit.holds) {
      const before = changes.map(({ name }) => name);
      if (before.includes(change.name)) return `invariant 3: ${change.name} is in the log twice`;
      if (before.join() !== change.on) {
        return `invariant 2: ${change.name} was made on "${change.on}" and follows "${before.join()}" in the log`;
      }
      changes.push(change);
    }
  }
  const inLog = changes.map(({ name }) => name);
  for (const [i, client] of state.clients.entries()) {
    for (const [n, commit] of client.chain.entries()) {
      if (state.log[n]?.id !== commit.id) {
        return `invariants 1 and 4: a client stands on ${show(commit)}, LSN ${n + 1} of the log is ${show(state.log[n])}`;
      }
    }
    const seen: string[] = client.chain.flatMap((commit) => commit.holds.map((change) => change.name));
    for (const change of client.unpushed) {
      if (seen.join() !== change.on) {
        return `invariant 2: ${change.name} was made on "${change.on}" and lies on "${seen.join()}" now`;
      }
      seen.push(change.name);
    }
    for (const name of client.acknowledged) {
      if (!inLog.includes(name)) return `invariant 3: ${name} was acknowledged and is not in the log`;
    }
    for (const name of client.dropped) {
      if (inLog.includes(name)) return `invariant 5: ${name} was reset, and is in the log all the same`;
    }
    for (let n = 1; n <= client.written; n++) {
      const name = `${String.fromCharCode(97 + i)}${n}`;
      if (!seen.includes(name) && !client.dropped.includes(name)) {
        return `invariant 3: ${name} was committed locally and is gone`;
      }
    }
    for (const commit of state.log) {
      if (commit === null || commit.owner !== i) continue;
      const known =
        client.chain.some(({ id }) => id === commit.id) ||
        client.intent?.commit.id === commit.id ||
        client.told.includes(commit.id);
      if (!known)
        return `invariant 5: ${show(commit)} is in the log, and the client that made it does not know`;
    }
  }
  return undefined;
}

/** The names of all changes that a client's reader sees, in order. */
function visible(client: Client): string[] {
  const pushed = client.chain.flatMap((commit) => commit.holds);
  return [...pushed, ...client.unpushed].map(({ name }) => name);
}

/** An import keeps writers out from the moment when it records its intent. */
function holdsWriters({ running }: Client): boolean {
  return running?.verb === "import" && running.publishing === true;
}

function set(state: State, i: number, change: Partial<Client>): State {
  return { ...state, clients: state.clients.with(i, { ...state.clients[i]!, ...change }) };
}

/** Ends the running verb; nothing durable changes. */
function stop(state: State, i: number): State {
  const { running: _, ...durable } = state.clients[i]!;
  return { ...state, clients: state.clients.with(i, durable) };
}

/** The store carries a conditional create out. */
function arrive(state: State, commit: Commit): State {
  if (state.log[commit.lsn - 1] != null) return state;
  const log = [...state.log];
  while (log.length < commit.lsn - 1) log.push(null);
  log[commit.lsn - 1] = commit;
  // A PUT that is still on its way to this LSN can change nothing any more: it counts as arrived.
  return { ...state, log, inFlight: state.inFlight.filter(({ lsn }) => lsn !== commit.lsn) };
}

/** The PUT may be carried out later, which matters only while nothing is there. */
function send(state: State, commit: Commit): State {
  if (state.log[commit.lsn - 1] != null) return state;
  return { ...state, inFlight: [...state.inFlight.filter(({ id }) => id !== commit.id), commit] };
}

function land(state: State, commit: Commit): State {
  return arrive(state, commit);
}

/** A name that nothing mentions: of commits that left no trace it does not matter how many there were. */
function freeId(state: State, owner: string): string {
  const used = new Set<string>();
  for (const commit of [...state.log, ...state.inFlight]) if (commit !== null) used.add(commit.id);
  for (const { chain, intent, told } of state.clients) {
    for (const { id } of chain) used.add(id);
    if (intent !== undefined) used.add(intent.commit.id);
    for (const id of told) used.add(id);
  }
  for (let n = 1; ; n++) if (!used.has(`${owner.toUpperCase()}${n}`)) return `${owner.toUpperCase()}${n}`;
}

function show(commit: Commit | null | undefined): string {
  return commit == null
    ? "nothing"
    : `${commit.id}(${commit.holds.map(({ name }) => name).join("+")})@${commit.lsn}`;
}

/** Equal for equal states. Commits are named by their id, of which each stands for one content within a state. */
function keyOf(state: State): string {
  const parts: string[] = [
    state.log.map(commitKey).join(";"),
    state.inFlight.map(commitKey).sort().join(";"),
  ];
  for (const client of state.clients) {
    const { chain, unpushed, intent, acknowledged, dropped, told, written, imported, running } = client;
    parts.push(
      chain.map(({ id }) => id).join(),
      unpushed.map((change) => `${change.name}<${change.on}`).join(";"),
      intent === undefined ? "" : `${commitKey(intent.commit)}/${intent.through}`,
      acknowledged.join(),
      dropped.join(),
      told.join(),
      `${written}/${imported}`,
    );
    if (running !== undefined) {
      const { verb, learned, acted, push: at } = running;
      parts.push(
        `${verb}/${acted}/${learned === undefined ? "" : `learned ${learned.map(({ id }) => id).join()}`}`,
      );
      if (at !== undefined) parts.push(pushKey(at));
    }
    parts.push("|");
  }
  return parts.join("\n");
}

function commitKey(commit: Commit | null): string {
  if (commit === null) return "-";
  return `${commit.id}@${commit.lsn}:${commit.holds.map((change) => `${change.name}<${change.on}`).join("+")}`;
}

function pushKey(at: push.PushState): string {
  if (at.at === "recorded") return `recorded ${at.maybeSent}`;
  return at.at === "asking" ? `asking ${at.seenExisting}` : at.at;
}

function traceTo(
  cameBy: readonly { readonly from: number; readonly text: string }[],
  last: number,
): string[] {
  const trace: string[] = [];
  for (let at = last; at > 0; at = cameBy[at]!.from) trace.unshift(cameBy[at]!.text);
  return trace;
}
