// Plots of the samples of one node, and its newest values as tiles.
import { html, Component } from "./html.js";
import { state, loadHistory, changed, HISTORY_SECONDS } from "./stream.js";
import { rate, seconds, bytes, count, percent } from "./format.js";
import { shortName } from "./icons.js";

/**
 * Each plot: the series that it shows, by their names in the node. It is there if the node has the series that it
 * `needs`, so that no plot comes later; `some` are shown only if they are not zero or unknown.
 */
const PLOTS = [
  {
    title: "Operations", unit: rate, needs: "ops",
    series: { all: "ops", text: "ops_text", GET: "ops_get", SET: "ops_set", HGET: "ops_hget", HSET: "ops_hset", DEL: "ops_delete", other: "ops_other" },
    some: ["text", "GET", "SET", "HGET", "HSET", "DEL", "other"],
  },
  { title: "Latency", unit: seconds, needs: "ops", series: { p50: "latency_p50", p99: "latency_p99", "p99.9": "latency_p999" } },
  { title: "Memory of buckets", unit: bytes, needs: "memory_used", series: { used: "memory_used", limit: "memory_limit" }, some: ["limit"] },
  { title: "Buckets", unit: count, needs: "buckets", series: { buckets: "buckets" } },
  { title: "Connections", unit: count, needs: "connections", series: { connections: "connections" } },
  { title: "Hit rate", unit: percent, needs: "ops", series: { hits: "hit_rate" }, max: 1 },
  { title: "Network of clients", unit: (value) => `${bytes(value)}/s`, needs: "received", series: { received: "received", sent: "sent" } },
  { title: "Processor", unit: percent, needs: "cpu", series: { busy: "cpu" } },
  { title: "Sync to disk", unit: seconds, needs: "log_bytes", series: { p99: "sync_p99" } },
  { title: "Log on disk", unit: bytes, needs: "log_bytes", series: { log: "log_bytes" } },
];

let selected = null;

function nodesWithSamples() {
  const nodes = state.parts.nodes ?? [];
  return nodes.filter((row) => state.samples[row.node] || row.me);
}

function current() {
  const rows = nodesWithSamples();
  return (rows.find((row) => row.node === selected) ?? rows.find((row) => row.me))?.node;
}

/** The columns of a node by the names of the series. */
function columnsOf(node) {
  const samples = state.samples[node];
  const named = state.series.map((name, index) => [name, samples?.values[index] ?? []]);
  return { times: samples?.times ?? [], named: Object.fromEntries(named) };
}

const isKnown = (column) => column?.some((value) => value !== null);

function Tile({ label, value, of }) {
  return html`<div class="tile"><dt>${label}</dt><dd>${value}${of ? html`<small> of ${of}</small>` : ""}</dd></div>`;
}

export function Tiles() {
  const { named } = columnsOf(current());
  const last = (name) => named[name]?.at(-1);
  const tiles = [
    ["ops", "Operations", rate],
    ["latency_p99", "Latency p99", seconds],
    ["memory_used", "Memory", bytes, "memory_limit"],
    ["buckets", "Buckets", count],
    ["connections", "Connections", count],
    ["hit_rate", "Hit rate", percent],
    ["sync_p99", "Sync p99", seconds],
  ];
  return html`
    <dl class="tiles">
      ${tiles.map(([name, label, unit, of]) => html`
        <${Tile} key=${name} label=${label} value=${unit(last(name))} of=${of && last(of) ? unit(last(of)) : null} />
      `)}
    </dl>
  `;
}

export function Plots() {
  const rows = nodesWithSamples();
  const node = current();
  if (node) loadHistory(node);
  const { times, named } = columnsOf(node);
  const shown = PLOTS.filter((plot) => isKnown(named[plot.needs]));
  return html`
    <section aria-labelledby="plots-title">
      <div class="head">
        <h2 id="plots-title">Last 15 minutes</h2>
        ${rows.length > 1 && html`
          <div class="tabs" role="radiogroup" aria-label="Node of the plots">
            ${rows.map((row) => html`
              <label><input type="radio" name="plot-node" checked=${row.node === node}
                onChange=${() => { selected = row.node; changed(); }} /><span>${shortName(rows, row.node)}</span></label>
            `)}
          </div>
        `}
      </div>
      ${shown.length === 0 && html`<p class="empty">The first samples come within a second.</p>`}
      <div class="plots">
        ${shown.map((plot) => html`<${Plot} key=${node + plot.title} plot=${plot} times=${times} named=${named} />`)}
      </div>
    </section>
  `;
}

/** A colour of the style sheet, as a canvas takes it. */
function color(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const HEIGHT = 120;
/** What ticks of whole numbers may be apart. */
const WHOLE = Array.from({ length: 30 }, (_, index) => [1, 2, 5][index % 3] * 10 ** Math.floor(index / 3));

class Plot extends Component {
  componentDidMount() {
    this.observer = new ResizeObserver(([entry]) => {
      this.plot?.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT });
    });
    this.observer.observe(this.canvas);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.make();
    this.dark.addEventListener("change", this.repaint);
    this.make();
  }

  componentDidUpdate() {
    if (this.names().join() !== this.shownNames || this.theme !== document.documentElement.dataset.theme) this.make();
    else this.plot.setData(this.data());
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.repaint);
    this.plot?.destroy();
  }

  names() {
    const { plot, named } = this.props;
    const isShown = (label) => !plot.some?.includes(label) || named[plot.series[label]].some((value) => value > 0);
    return Object.keys(plot.series).filter(isShown);
  }

  data() {
    const { plot, times, named } = this.props;
    return [times, ...this.names().map((label) => named[plot.series[label]])];
  }

  make() {
    this.plot?.destroy();
    const { plot } = this.props;
    const names = this.names();
    this.shownNames = names.join();
    this.theme = document.documentElement.dataset.theme;
    const grid = { stroke: color("--line"), width: 1 };
    const axis = { stroke: color("--muted"), font: "11px ui-monospace, monospace", grid, ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: this.canvas.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: "plots" } },
        scales: {
          x: { range: (_, __, max) => [max - HISTORY_SECONDS, max] },
          y: { range: (_, __, max) => [0, plot.max ?? (max > 0 ? max * 1.1 : 1)] },
        },
        axes: [
          { ...axis, size: 22, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toTimeString().slice(0, 5)) },
          { ...axis, size: 66, space: 34, incrs: plot.unit === count ? WHOLE : undefined, values: (_, ticks) => ticks.map((value) => plot.unit(value)) },
        ],
        series: [
          {},
          ...names.map((label, index) => ({
            label,
            stroke: color(`--series-${index}`),
            width: 1.5,
            dash: label === "limit" ? [6, 4] : undefined,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [(chart) => this.showValues(chart.cursor.idx)] },
      },
      this.data(),
      this.canvas,
    );
  }

  /** The legend has the values under the cursor, or the newest. */
  showValues(index) {
    if (index === this.shownIndex) return;
    this.shownIndex = index;
    this.setState({});
  }

  render({ plot, times, named }) {
    const names = this.names();
    const at = this.shownIndex ?? times.length - 1;
    return html`
      <figure class="plot">
        <figcaption>
          <b>${plot.title}</b>
          <span class="legend">
            ${names.map((label, index) => html`
              <span class="key-${index}"><i aria-hidden="true"></i>${names.length > 1 ? label : ""} <span class="number">${plot.unit(named[plot.series[label]][at])}</span></span>
            `)}
          </span>
        </figcaption>
        <div class="canvas" ref=${(element) => { this.canvas = element ?? this.canvas; }}></div>
      </figure>
    `;
  }
}
