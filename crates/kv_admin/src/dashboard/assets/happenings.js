// What has happened, the newest first.
import { html } from "./html.js";
import { state } from "./stream.js";
import { Status, shortName } from "./icons.js";
import { clock } from "./format.js";

const LEVELS = { crash: "bad", node_down: "bad", node_up: "ok", restart: "bad", leader: "off" };

export function Happenings() {
  const nodes = state.parts.nodes ?? [];
  const events = [...(state.parts.events ?? [])].reverse();
  return html`
    <section aria-labelledby="events-title">
      <div class="head"><h2 id="events-title">What happened</h2></div>
      ${events.length === 0 && html`<p class="empty">Nothing since this node has watched: no crash, no node down, no move.</p>`}
      <ol class="events" role="log" aria-label="What happened" tabindex="0">
        ${events.map((event) => html`
          <li key=${event.id}><time>${clock(event.at)}</time><${Status} level=${LEVELS[event.kind] ?? "off"}>${event.path && nodes.length > 1 ? `${shortName(nodes, event.path.split("/")[0])}: ` : ""}${event.text}</${Status}></li>
        `)}
      </ol>
    </section>
  `;
}
