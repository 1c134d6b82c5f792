// Who owns which names: the strip over all names, the ranges, and what is being moved.
import { html } from "./html.js";
import { state, now, partsOf, changed } from "./stream.js";
import { Status, NodeName, ownerClass, shortName } from "./icons.js";
import { Table } from "./table.js";
import { bytes, count, seconds, ago } from "./format.js";

let selected = null;

const LEVELS = { ready: "ok", following: "ok", loading: "warn", "read-only": "warn", volatile: "off", stopped: "bad", "no leader": "bad" };

/** Each row of the routes with what its nodes say of it; of a row with copies the leader knows most. */
function rangesOf(routes, plans) {
  const reports = Object.entries(partsOf("ranges")).flatMap(([node, rows]) => rows.map((row) => ({ ...row, node })));
  const row = (name, nodes, durable) => {
    const about = reports.filter((report) => report.range === name && nodes.includes(report.node));
    // A node that is down says what it knew last.
    const newest = about.filter((report) => report.leader).sort((one, other) => other.term - one.term)[0];
    const leader = newest?.leader ?? (nodes.length === 1 ? nodes[0] : null);
    const best = about.find((report) => report.node === leader) ?? about[0];
    const plan = plans.find((plan) => plan.range === name);
    return { ...best, key: name, range: name, nodes, durable, leader, reported: Boolean(best), plan };
  };
  const meta = reports.filter((report) => !routes.some((route) => route.buckets === report.range) && report.replicas?.length > 0);
  const others = new Map(meta.map((report) => [report.range, [report.node, ...report.replicas.map(({ node }) => node)].sort()]));
  return [
    ...routes.map((route) => row(route.buckets, route.nodes, route.durable)),
    ...[...others].map(([name, nodes]) => row(name, nodes, true)),
  ];
}

function Strip({ routes, ranges, nodes }) {
  return html`
    <ol class="strip" aria-label="Names of buckets in order, and who owns them">
      ${routes.map(({ buckets, nodes: owners }) => {
        const range = ranges.find(({ range }) => range === buckets);
        const leader = range.leader ?? owners[0];
        const isSelected = selected === buckets;
        return html`
          <li key=${buckets} class=${`${ownerClass(nodes, leader)} ${range.plan ? "moving" : ""}`}>
            <button aria-pressed=${String(isSelected)} title=${`${buckets}: ${owners.join(", ")}`}
              onClick=${() => { selected = isSelected ? null : buckets; changed(); }}>
              <b>${buckets}</b><span>${shortName(nodes, leader)}${owners.length > 1 ? ` +${owners.length - 1}` : ""}</span>
              ${range.plan && html`<em>moving</em>`}
            </button>
          </li>
        `;
      })}
    </ol>
  `;
}

function State({ row }) {
  if (!row.reported) return html`<${Status} level="off">${row.durable === false ? "volatile" : "not known"}</${Status}>`;
  const state = row.state === "loading" ? `loading ${row.loaded_percent} %` : row.state;
  return html`<${Status} level=${LEVELS[row.state] ?? "warn"}>${state}${row.reason ? html`<span class="reason">${row.reason}</span>` : ""}</${Status}>`;
}

/** The copies: who leads, and how far the others are behind. */
function Copies({ row, nodes }) {
  const lagOf = (node) => row.replicas?.find((replica) => replica.node === node);
  return html`
    <ul class="copies">
      ${row.nodes.map((node) => {
        const replica = lagOf(node);
        const lag = replica?.lag === null || replica?.lag === undefined ? "" : replica.lag === 0 ? "has all" : `${count(replica.lag)} behind`;
        const role = node === row.leader && row.nodes.length > 1 ? "leads" : replica && !replica.voter ? `joins, ${lag}` : lag;
        return html`<li key=${node}><${NodeName} nodes=${nodes} node=${node} /> <span class="muted">${role}</span></li>`;
      })}
    </ul>
  `;
}

function Plans({ plans }) {
  if (plans.length === 0) return null;
  return html`
    <ul class="plans" aria-label="Plans under way">
      ${plans.map(({ range, nodes, leaving }) => html`
        <li key=${range}><${Status} level="warn"><b>${range}</b> moves to ${nodes.join(", ")}${leaving.length > 0 ? `; ${leaving.join(", ")} keeps it until these have the data` : ""}</${Status}></li>
      `)}
    </ul>
  `;
}

const COLUMNS = (nodes, rows) => [
  { key: "range", title: "names", cell: (row) => html`<b>${row.range}</b>`, sort: (row) => row.range },
  { key: "state", title: "state", cell: (row) => html`<${State} row=${row} />`, sort: (row) => row.state },
  { key: "nodes", title: "nodes", cell: (row) => html`<${Copies} row=${row} nodes=${nodes} />`, sort: (row) => row.leader },
  { key: "term", title: "term", number: true, optional: true, cell: (row) => (row.term ? count(row.term) : ""), sort: (row) => row.term },
  { key: "log", title: "log", number: true, cell: (row) => (row.log_bytes ? bytes(row.log_bytes) : ""), sort: (row) => row.log_bytes },
  { key: "entries", title: "entries", number: true, optional: true, cell: (row) => (row.entries ? count(row.entries) : ""), sort: (row) => row.entries },
  {
    key: "snapshot", title: "snapshot", number: true, optional: true, sort: (row) => row.snapshot_ms,
    cell: (row) => (row.snapshot_bytes ? `${bytes(row.snapshot_bytes)}, ${ago((now() - row.snapshot_ms) / 1000)}` : ""),
  },
  { key: "sync", title: "sync p99", number: true, cell: (row) => (row.sync_p99_us ? seconds(row.sync_p99_us / 1e6) : ""), sort: (row) => row.sync_p99_us },
].filter(({ key }) => !["term", "log", "entries", "snapshot", "sync"].includes(key) || rows.some((row) => row.state && row.state !== "volatile"));

export function Routing() {
  const routes = state.parts.routes ?? [];
  const nodes = state.parts.nodes ?? [];
  const plans = state.parts.plans ?? [];
  const ranges = rangesOf(routes, plans);
  const shown = ranges.filter((row) => !selected || row.range === selected);
  return html`
    <section aria-labelledby="routing-title">
      <div class="head"><h2 id="routing-title">Routing table</h2></div>
      ${routes.length > 0 && html`<${Strip} routes=${routes} ranges=${ranges} nodes=${nodes} />`}
      <${Plans} plans=${plans} />
      <${Table} label="ranges" columns=${COLUMNS(nodes, ranges)} rows=${shown} search=${(row) => row.range}
        rowClass=${(row) => (row.state === "stopped" || row.state === "no leader" ? "down" : "")} empty="No row of [[routes]]." />
    </section>
  `;
}
