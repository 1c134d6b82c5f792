// The node's state, kept up to date by one EventSource: full at first and after each reconnect, then changes.

const MAX_WAIT_MS = 5000;
const SILENT_MS = 5000;
export const HISTORY_SECONDS = 900;

export const state = {
  link: "connecting",
  /** When the node's state was last heard of, by this machine's clock. */
  heardAt: null,
  retryAt: null,
  /** The node's clock minus this machine's. */
  skew: 0,
  parts: {},
  /** Names of the series, and for each node columns of values with their times. */
  series: [],
  samples: {},
};

const listeners = new Set();
let source = null;
let waits = 0;

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Has the page rendered again. */
export function changed() {
  for (const listener of listeners) listener();
}

/** The node's time now, in milliseconds. */
export const now = () => Date.now() + state.skew;

/** All parts whose names begin with `kind/`, by the rest of their names. */
export function partsOf(kind) {
  const prefix = `${kind}/`;
  const found = Object.entries(state.parts).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length), value]));
}

export function open() {
  source?.close();
  source = new EventSource("events");
  source.addEventListener("state", (event) => receive(JSON.parse(event.data), true));
  source.addEventListener("delta", (event) => receive(JSON.parse(event.data), false));
  source.onerror = lost;
}

function receive(message, isWhole) {
  const missed = isWhole && state.heardAt !== null;
  state.link = "live";
  state.heardAt = Date.now();
  state.skew = message.at - Date.now();
  waits = 0;
  if (isWhole) {
    state.parts = message.parts;
    state.series = message.series;
    if (missed) state.samples = {};
  } else {
    for (const [name, value] of Object.entries(message.parts)) {
      if (value === null) delete state.parts[name];
      else state.parts[name] = value;
    }
  }
  for (const [node, rows] of Object.entries(message.samples ?? {})) append(node, rows);
  changed();
}

function columnsOf(node) {
  return (state.samples[node] ??= { times: [], values: state.series.map(() => []), isLoading: false, isLoaded: false });
}

function append(node, rows) {
  const columns = columnsOf(node);
  for (const [time, values] of rows) {
    if (time <= (columns.times.at(-1) ?? 0)) continue;
    columns.times.push(time);
    columns.values.forEach((column, index) => column.push(values[index] ?? null));
  }
  const surplus = columns.times.length - HISTORY_SECONDS;
  if (surplus > 0) for (const column of [columns.times, ...columns.values]) column.splice(0, surplus);
}

/** Loads the samples that a node has kept, once. */
export async function loadHistory(node) {
  const columns = columnsOf(node);
  if (columns.isLoading || columns.isLoaded) return;
  columns.isLoading = true;
  try {
    const response = await fetch(`samples?node=${encodeURIComponent(node)}`);
    if (!response.ok) throw new Error(response.statusText);
    const { times, values } = await response.json();
    if (state.samples[node] !== columns) return;
    const newer = columns.times.filter((time) => time > (times.at(-1) ?? 0)).length;
    const rest = (column) => column.slice(column.length - newer);
    columns.times = [...times, ...rest(columns.times)];
    columns.values = columns.values.map((column, index) => [...expand(values[index], times.length), ...rest(column)]);
    columns.isLoaded = true;
    changed();
  } catch {
    // It is asked for again with the next render.
  } finally {
    columns.isLoading = false;
  }
}

/** A series that never changes is sent as one value. */
const expand = (column, length) => (Array.isArray(column) ? column : new Array(length).fill(column));

function lost() {
  source.close();
  if (state.link === "ending") return;
  const wait = Math.min(MAX_WAIT_MS, 500 * 2 ** waits);
  waits += 1;
  state.link = state.heardAt === null ? "connecting" : "lost";
  state.retryAt = Date.now() + wait;
  changed();
  setTimeout(open, wait);
}

// A network that fails without a word leaves the stream open.
setInterval(() => {
  if (state.link === "live" && Date.now() - state.heardAt > SILENT_MS) lost();
  changed();
}, 1000);
addEventListener("pagehide", () => {
  state.link = "ending";
  source?.close();
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  state.link = "lost";
  open();
});
