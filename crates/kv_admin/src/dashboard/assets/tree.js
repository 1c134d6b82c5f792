// The supervision trees of all nodes: foldable, searchable, with what crashed a moment ago.
import { html } from "./html.js";
import { state, now, partsOf, changed } from "./stream.js";
import { Status } from "./icons.js";
import { bytes, count, plural, age, clock, ago } from "./format.js";


/** How long a crash flashes, and how long its sign stays. */
const FLASH_MS = 4000;
const RECENT_MS = 60_000;

const folded = new Map();
let wanted = "";
let focused = null;

const STATES = { running: "ok", stopping: "warn", ended: "bad" };

/** Everything below, as rows; a path names a row. */
function rowsOf(tree, path, depth, row) {
  const rows = [{ tree, path, depth, row }];
  for (const child of tree.children) rows.push(...rowsOf(child, `${path}/${child.name}`, depth + 1, row));
  return rows;
}

/** A node that is down is folded, and what is below a worker. */
const isFolded = ({ tree, path, depth, row }) =>
  tree.children.length > 0 && (folded.get(path) ?? (depth === 0 ? !row.up : tree.kind !== "supervisor"));

/** The rows that are shown: none below a folded one, or, in a search, what matches and what is above it. */
function visible(rows) {
  if (wanted) {
    const matching = rows.filter(({ tree }) => tree.name.toLowerCase().includes(wanted));
    return rows.filter(({ path }) => matching.some((match) => match.path === path || match.path.startsWith(`${path}/`)));
  }
  const hidden = rows.filter(isFolded).map(({ path }) => `${path}/`);
  return rows.filter(({ path }) => !hidden.some((above) => path.startsWith(above)));
}

/** The newest crash of each row that is shown, by its path. What is folded away crashes above. */
function crashes(rows) {
  const shown = new Set(rows.map(({ path }) => path));
  const newest = new Map();
  for (const event of state.parts.events ?? []) {
    let path = event.path ?? "";
    while (path && !shown.has(path)) path = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (path) newest.set(path, event);
  }
  return newest;
}

function fold(path, value) {
  folded.set(path, value);
  changed();
}

function focus(path) {
  focused = path;
  changed();
  requestAnimationFrame(() => document.querySelector('[role="treeitem"][tabindex="0"]')?.focus());
}

/** The keys of a tree as the WAI-ARIA pattern has them. */
function onKey(event, rows, index) {
  const item = rows[index];
  const parent = item.path.slice(0, item.path.lastIndexOf("/"));
  const go = {
    ArrowDown: () => rows[index + 1] && focus(rows[index + 1].path),
    ArrowUp: () => rows[index - 1] && focus(rows[index - 1].path),
    Home: () => focus(rows[0].path),
    End: () => focus(rows.at(-1).path),
    ArrowRight: () => item.tree.children.length > 0 && fold(item.path, false),
    ArrowLeft: () => {
      if (item.tree.children.length > 0 && !isFolded(item)) fold(item.path, true);
      else if (rows.some((row) => row.path === parent)) focus(parent);
    },
    Enter: () => fold(item.path, !isFolded(item)),
    " ": () => fold(item.path, !isFolded(item)),
  }[event.key];
  if (!go) return;
  event.preventDefault();
  go();
}

function Restarts({ tree, row }) {
  const recent = row.up ? tree.recent_restarts : null;
  const title = recent && `${recent.recent} restarts in the last ${recent.within_seconds} s; more than ${recent.max} end it`;
  const level = recent && recent.recent > 0 ? (recent.recent >= recent.max ? "bad" : "warn") : "";
  return html`<span class="number ${level}" title=${title}>${recent ? `${recent.recent}/${recent.max}` : ""}</span>`;
}

function summary(tree) {
  if (tree.kind === "tasks") return `${count(tree.total)} running`;
  if (tree.strategy) return tree.strategy;
  if (tree.bytes !== null) return `${plural(tree.total, "bucket", "buckets")}, ${bytes(tree.bytes)}`;
  return tree.total === 1 ? tree.children[0].name : tree.total > 1 ? `${count(tree.total)} below` : "";
}

function State({ tree, row, crash }) {
  if (!row.up) return html`<${Status} level="bad">down</${Status}>`;
  if (tree.state !== "running") return html`<${Status} level=${STATES[tree.state]}>${tree.state}</${Status}>`;
  if (crash) return html`<span class="crash" title=${crash.text}>✕ ${crash.kind === "crash" ? "crashed" : "restarted"} ${ago((now() - crash.at) / 1000)}</span>`;
  if (tree.crashed > 0) return html`<span class="muted">${count(tree.crashed)} crashed</span>`;
  if (tree.restarts > 0) return html`<span class="muted">restarted ${count(tree.restarts)} ×</span>`;
  return html`<span class="muted">${summary(tree)}</span>`;
}

function Row({ item, rows, index, crash, isFocusable }) {
  const { tree, path, depth, row } = item;
  const sinceCrash = crash ? now() - crash.at : Infinity;
  const recent = sinceCrash < RECENT_MS ? crash : null;
  const hasChildren = tree.children.length > 0;
  const toggle = hasChildren ? (isFolded(item) ? "▸" : "▾") : "";
  const hidden = tree.total - tree.children.length;
  const classes = ["row", row.up ? "" : "down", sinceCrash < FLASH_MS ? "flash" : ""].join(" ");
  return html`
    <div class=${classes} role="treeitem" aria-level=${depth + 1} data-path=${path}
      aria-expanded=${hasChildren ? String(!isFolded(item)) : undefined}
      tabindex=${isFocusable ? 0 : -1} onKeyDown=${(event) => onKey(event, rows, index)}
      onClick=${() => { focused = path; hasChildren && fold(path, !isFolded(item)); }}>
      <span class="name depth-${Math.min(depth, 6)}">
        <span class="toggle" aria-hidden="true">${toggle}</span><span class="label" title=${tree.name}>${tree.name}</span>
        ${hasChildren && hidden > 0 && html`<span class="muted more">+${count(hidden)}</span>`}
      </span>
      <span class="state"><${State} tree=${tree} row=${row} crash=${recent} /></span>
      <span class="number">${row.up && tree.since ? age((now() - tree.since) / 1000) : ""}</span>
      <${Restarts} tree=${tree} row=${row} />
    </div>
  `;
}

function Lost({ row }) {
  const seen = row.seen_ms ? `last seen at ${clock(row.seen_ms)}, ${ago((now() - row.seen_ms) / 1000)}` : "not seen since this node started";
  return html`<p class="lost"><${Status} level="bad">${row.node}: ${seen}${row.reason ? `: ${row.reason}` : ""}</${Status}></p>`;
}

export function Trees() {
  const trees = partsOf("tree");
  const nodes = state.parts.nodes ?? [];
  const all = nodes.filter((row) => trees[row.node]).flatMap((row) => rowsOf(trees[row.node], row.node, 0, row));
  const rows = visible(all);
  const newest = crashes(rows);
  const roots = all.filter(({ depth }) => depth === 0);
  const areFolded = roots.length > 0 && roots.every(isFolded);
  const foldRoots = () => {
    for (const { path } of roots) folded.set(path, !areFolded);
    changed();
  };
  const at = Math.max(0, rows.findIndex((item) => item.path === focused));
  return html`
    <section class="trees" aria-labelledby="tree-title">
      <div class="head">
        <h2 id="tree-title">Supervision tree</h2>
        <input type="search" placeholder="Search" aria-label="Search the tree" value=${wanted}
          onInput=${(event) => { wanted = event.target.value.trim().toLowerCase(); changed(); }} />
        <button onClick=${foldRoots}>${areFolded ? "Unfold all" : "Fold all"}</button>
      </div>
      ${nodes.filter((row) => !row.up).map((row) => html`<${Lost} row=${row} />`)}
      <div class="row titles" aria-hidden="true">
        <span>name</span><span>state</span><span class="number">up</span>
        <span class="number" title="Recent restarts of its children, and how many it allows">n/m</span>
      </div>
      <div role="tree" aria-label="Supervision tree">
        ${rows.map((item, index) => html`
          <${Row} key=${item.path} item=${item} rows=${rows} index=${index} crash=${newest.get(item.path)} isFocusable=${index === at} />
        `)}
      </div>
      ${rows.length === 0 && html`<p class="empty">${wanted ? `Nothing is called “${wanted}”.` : "No tree yet."}</p>`}
    </section>
  `;
}
