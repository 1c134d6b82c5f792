// The page: a header that says whether all is well, and the panels.
import { html, render } from "./html.js";
import { state, subscribe, open, partsOf } from "./stream.js";
import { Status } from "./icons.js";
import { Tiles, Plots } from "./plots.js";
import { Trees } from "./tree.js";
import { Nodes } from "./nodes.js";
import { Routing } from "./routing.js";
import { Buckets } from "./buckets.js";
import { Happenings } from "./happenings.js";
import { ago, clock, plural } from "./format.js";

/** What is wrong, the worst first. */
function problems() {
  const nodes = state.parts.nodes ?? [];
  const found = nodes.filter((row) => !row.up).map((row) => ["bad", `${row.node} is down`]);
  for (const row of nodes.filter((row) => row.routes_differ)) {
    found.push(["warn", `routes of ${row.node} differ: ${row.routes_differ}`]);
  }
  for (const [node, rows] of Object.entries(partsOf("ranges"))) {
    for (const row of rows.filter((row) => row.reason || row.state === "no leader")) {
      found.push(["bad", `${row.range} on ${node}: ${row.reason ?? "no leader"}`]);
    }
  }
  if (state.parts.differences) found.push(["warn", state.parts.differences]);
  return found;
}

function Connection() {
  const silent = (Date.now() - state.heardAt) / 1000;
  if (state.link === "live") return html`<${Status} level="ok">live</${Status}>`;
  const wait = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
  return html`<${Status} level="bad">last heard ${ago(silent)}; trying again${wait ? ` in ${wait} s` : " …"}</${Status}>`;
}

function Health() {
  const found = problems();
  const up = (state.parts.nodes ?? []).filter((row) => row.up).length;
  if (state.link !== "live") return html`<${Status} level="warn">as it was at ${clock(state.heardAt)}</${Status}>`;
  if (found.length === 0) return html`<${Status} level="ok">all is well: ${plural(up, "node", "nodes")} up</${Status}>`;
  const [level, first] = found[0];
  return html`
    <details class="problems">
      <summary><${Status} level=${level}>${first}${found.length > 1 ? ` and ${found.length - 1} more` : ""}</${Status}></summary>
      <ul>${found.map(([level, what]) => html`<li><${Status} level=${level}>${what}</${Status}></li>`)}</ul>
    </details>
  `;
}

const THEMES = { auto: "dark", dark: "light", light: "auto" };

function changeTheme() {
  const next = THEMES[document.documentElement.dataset.theme ?? "auto"];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // It holds until the page is closed.
  }
  update();
}

function Header() {
  const { node, release, version } = state.parts.me ?? {};
  const theme = document.documentElement.dataset.theme ?? "auto";
  return html`
    <header>
      <h1><span class="node">${node}</span><span class="release">${release} ${version}</span></h1>
      <div class="health" role="status"><${Health} /></div>
      <div class="connection"><${Connection} /></div>
      <button class="quiet" onClick=${changeTheme} title="Change the colours">colours: ${theme}</button>
    </header>
  `;
}

function App() {
  if (!state.parts.me) {
    const failed = state.retryAt ? "The node does not answer yet; trying again …" : "Connecting to the node …";
    return html`<p class="waiting" role="status">${failed}</p>`;
  }
  return html`
    <${Header} />
    <main class=${state.link === "live" ? "" : "stale"}>
      <${Tiles} />
      <div class="side">
        <${Happenings} />
        <${Trees} />
      </div>
      <div class="wide">
        <${Plots} />
        <${Nodes} />
        <${Routing} />
        <${Buckets} />
      </div>
    </main>
  `;
}

let isDue = false;

/** Renders once for all that has changed until the next frame. */
function update() {
  if (isDue) return;
  isDue = true;
  // A hidden page has no frames, and is to be right when it is shown.
  const frame = document.hidden ? (run) => setTimeout(run, 0) : requestAnimationFrame;
  frame(() => {
    isDue = false;
    const { node } = state.parts.me ?? {};
    const sign = state.link !== "live" ? "… " : problems().length > 0 ? "✕ " : "";
    document.title = node ? `${sign}${node}` : "KvUmbrella";
    render(html`<${App} />`, document.getElementById("app"));
  });
}

subscribe(update);
addEventListener("hashchange", update);
document.getElementById("app").replaceChildren();
update();
open();
