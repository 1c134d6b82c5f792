// Buckets by prefix, and the keys of one, page by page. A link names a bucket: `#bucket=shopping`.
import { html } from "./html.js";
import { state, changed } from "./stream.js";
import { Table } from "./table.js";
import { bytes, count, span, text } from "./format.js";

const TYPING_MS = 200;

/** A list that is fetched page by page. */
class Pages {
  constructor(address, field) {
    Object.assign(this, { address, field, rows: [], next: null, error: null, isLoading: false, unavailable: [], pages: 0 });
    this.more();
  }

  more() {
    return this.fetch(this.rows, this.next);
  }

  /** Fetches the first page again, which is shown until then. */
  reload() {
    return this.fetch([], null);
  }

  async fetch(before, next) {
    if (this.isLoading) return;
    this.isLoading = true;
    this.error = null;
    changed();
    const cursor = next === null ? "" : `&cursor=${encodeURIComponent(next)}`;
    try {
      const response = await fetch(`${this.address}${cursor}`);
      const body = await response.json();
      if (!response.ok) throw new Error(body.error ?? response.statusText);
      this.rows = [...before, ...body[this.field]];
      this.next = body.next ?? null;
      this.unavailable = body.unavailable ?? [];
      this.pages = next === null ? 1 : this.pages + 1;
    } catch (error) {
      this.error = error.message;
    }
    this.isLoading = false;
    changed();
  }
}

/** How many buckets all nodes together had in their newest samples. */
function total() {
  const index = state.series.indexOf("buckets");
  const newest = Object.values(state.samples).map(({ values }) => values[index]?.at(-1) ?? 0);
  return newest.reduce((sum, value) => sum + value, 0);
}

let prefix = "";
let shownTotal = null;
let listed = null;
let typing = null;
let opened = { name: null, pages: null };
let copied = null;

const list = () => new Pages(`api/v1/buckets?prefix=${encodeURIComponent(prefix)}`, "buckets");

/** A name as addresses have it. */
const encoded = (name) => (typeof name === "string" ? encodeURIComponent(name) : name.hex.replace(/../g, "%$&"));

/** The bucket that the address names, as it is encoded there. */
const named = () => /^#bucket=(.*)$/.exec(location.hash)?.[1] ?? null;

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const linkTo = (name) => `#bucket=${name}`;

function onPrefix(event) {
  prefix = event.target.value;
  clearTimeout(typing);
  typing = setTimeout(() => {
    listed = list();
    changed();
  }, TYPING_MS);
}

async function copyLink(name) {
  const link = new URL(linkTo(name), location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    copied = "copied";
  } catch {
    // Only pages of this machine or with TLS may write to the clipboard.
    copied = link;
  }
  changed();
  setTimeout(() => {
    copied = null;
    changed();
  }, 4000);
}

function More({ pages, what }) {
  return html`
    ${pages.error && html`<p class="empty bad" role="alert">✕ ${pages.error} <button onClick=${() => pages.more()}>Try again</button></p>`}
    ${pages.unavailable.map((why) => html`<p class="empty bad">✕ not listed: ${why}</p>`)}
    ${pages.next !== null && !pages.error && html`<button class="more" disabled=${pages.isLoading} onClick=${() => pages.more()}>${pages.isLoading ? "Loading …" : `More ${what}`}</button>`}
  `;
}

const expiry = (row) => (row.expires_in_ms ? span(row.expires_in_ms / 1000) : "");

const COLUMNS = [
  {
    key: "name", title: "bucket", sort: (row) => text(row.name),
    cell: (row) => html`<a class="long" href=${linkTo(encoded(row.name))}>${text(row.name) || "(empty name)"}</a>`,
  },
  { key: "keys", title: "keys", number: true, cell: (row) => (row.keys === undefined ? "a string" : count(row.keys)), sort: (row) => row.keys },
  { key: "bytes", title: "memory", number: true, cell: (row) => (row.bytes === undefined ? "large" : bytes(row.bytes)), sort: (row) => row.bytes },
  { key: "expiry", title: "expires in", number: true, optional: true, cell: expiry, sort: (row) => row.expires_in_ms },
];

function Bucket({ name }) {
  if (opened.name !== name) {
    opened = { name, pages: new Pages(`api/v1/keys?bucket=${name}`, "keys") };
  }
  const { pages } = opened;
  const columns = [
    { key: "key", title: "key", cell: (row) => html`<span class="long">${row.key}</span>`, sort: (row) => row.key },
    { key: "value", title: "value", cell: (row) => html`<span class="value">${text(row.value)}${row.cut ? html`<em> … ${bytes(row.bytes)} in all</em>` : ""}</span>`, sort: (row) => text(row.value) },
  ];
  return html`
    <div class="bucket" aria-labelledby="bucket-title">
      <div class="head">
        <h3 id="bucket-title"><span class="long">${decoded(name)}</span></h3>
        <button onClick=${() => copyLink(name)}>Copy link</button>
        <span class="copied" role="status">${copied}</span>
        <a class="close" href="#buckets-title">Close</a>
      </div>
      ${pages.pages > 0 && html`
        <${Table} label=${`keys of ${decoded(name)}`} columns=${columns} search=${(row) => row.key} empty="This bucket is empty."
          rows=${pages.rows.map((row) => ({ ...row, key: text(row.key) }))} />
      `}
      ${pages.pages === 0 && pages.isLoading && html`<p class="empty">Loading …</p>`}
      <${More} pages=${pages} what="keys" />
    </div>
  `;
}

export function Buckets() {
  const now = total();
  if (!listed) listed = list();
  // The first page follows what happens; nobody's place in a longer list is lost.
  else if (now !== shownTotal && listed.pages === 1 && !listed.isLoading) listed.reload();
  shownTotal = now;
  const name = named();
  const rows = listed.rows.map((row) => ({ ...row, key: text(row.name) }));
  const none = prefix ? `No bucket begins with “${prefix}”.` : "No bucket yet. CREATE shopping makes one.";
  const empty = listed.next === null ? none : `None of those looked at begins with “${prefix}”.`;
  return html`
    <section aria-labelledby="buckets-title">
      <div class="head">
        <h2 id="buckets-title">Buckets</h2>
        <input type="search" placeholder="Prefix" aria-label="Buckets that begin with" value=${prefix} onInput=${onPrefix} />
        <button onClick=${() => listed.reload()}>Refresh</button>
      </div>
      ${name !== null && html`<${Bucket} name=${name} />`}
      ${listed.pages > 0 && html`<${Table} label="buckets" columns=${COLUMNS} rows=${rows} empty=${empty} />`}
      ${listed.pages === 0 && listed.isLoading && html`<p class="empty">Loading …</p>`}
      <${More} pages=${listed} what="buckets" />
    </section>
  `;
}
