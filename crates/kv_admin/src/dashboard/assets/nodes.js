// The nodes and the links to them, with their ups and downs.
import { html } from "./html.js";
import { state, now } from "./stream.js";
import { Status, NodeName } from "./icons.js";
import { Table } from "./table.js";
import { seconds, count, clock, ago, span, plural } from "./format.js";

const HISTORY_MS = 15 * 60_000;

/** The ups and downs of the last 15 minutes, as a bar and in words. */
function History({ row }) {
  const end = now();
  const start = end - HISTORY_MS;
  const changes = (row.history ?? []).filter(([at]) => at > start);
  const before = (row.history ?? []).findLast(([at]) => at <= start)?.[1] ?? null;
  const marks = [[start, before], ...changes, [end, null]];
  const parts = marks.slice(1).map(([at], index) => ({ width: at - marks[index][0], up: marks[index][1] }));
  const downs = marks.filter(([, up], index) => up === false && marks[index - 1]?.[1]).length;
  const words = downs === 0 ? "no loss" : plural(downs, "loss", "losses");
  let left = 0;
  const bars = parts.map(({ width, up }) => {
    const x = left;
    left += width;
    const y = up ? 3 : 9;
    return up === null ? null : html`<rect x=${(x / HISTORY_MS) * 100} width=${Math.max(0.7, (width / HISTORY_MS) * 100)} y=${y} height=${12 - y} class=${up ? "up" : "down"} />`;
  });
  return html`
    <span class="history">
      <svg viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label=${words}>${bars}</svg>
      <span class="muted">${words}</span>
    </span>
  `;
}

function State({ row }) {
  if (row.me) return html`<${Status} level=${row.reason ? "warn" : "ok"}>this node${row.reason ? `: ${row.reason}` : ""}</${Status}>`;
  if (row.up) {
    if (row.routes_differ) return html`<${Status} level="warn">up, routes differ: ${row.routes_differ}</${Status}>`;
    return html`<${Status} level="ok">up ${row.since_ms ? span((now() - row.since_ms) / 1000) : ""}</${Status}>`;
  }
  const seen = row.seen_ms ? `last seen ${clock(row.seen_ms)}, ${ago((now() - row.seen_ms) / 1000)}` : "never seen";
  return html`<${Status} level="bad">down<span class="reason">${seen}</span>${row.reason ? html`<span class="reason">${row.reason}</span>` : ""}</${Status}>`;
}

export function Nodes() {
  const nodes = state.parts.nodes ?? [];
  const has = (field) => nodes.some((row) => row[field] !== undefined && row[field] !== null);
  const columns = [
    { key: "node", title: "node", cell: (row) => html`<${NodeName} nodes=${nodes} node=${row.node} />`, sort: (row) => row.node },
    { key: "state", title: "state", cell: (row) => html`<${State} row=${row} />`, sort: (row) => (row.up ? 1 : 0) },
    has("address") && { key: "address", title: "link address", optional: true, cell: (row) => html`<code>${row.address ?? ""}</code>`, sort: (row) => row.address },
    has("round_trip") && { key: "rtt", title: "round trip", number: true, cell: (row) => (row.me ? "" : seconds(row.round_trip)), sort: (row) => row.round_trip },
    has("in_flight") && { key: "flight", title: "in flight", number: true, cell: (row) => (row.me ? "" : count(row.in_flight)), sort: (row) => row.in_flight },
    nodes.length > 1 && { key: "history", title: "link, 15 min", cell: (row) => (row.me ? "" : html`<${History} row=${row} />`) },
  ].filter(Boolean);
  return html`
    <section aria-labelledby="nodes-title">
      <div class="head"><h2 id="nodes-title">Nodes and links</h2></div>
      <${Table} label="nodes" columns=${columns} rows=${nodes.map((row) => ({ ...row, key: row.node }))}
        rowClass=${(row) => (row.up ? "" : "down")} search=${(row) => row.node} empty="No node is known." />
    </section>
  `;
}
