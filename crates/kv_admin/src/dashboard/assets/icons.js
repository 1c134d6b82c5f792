// What says the same as a colour: a sign and a word.
import { html } from "./html.js";

const SIGNS = { ok: "●", warn: "▲", bad: "✕", off: "○" };

export const Status = ({ level, children }) => html`
  <span class="status ${level}"><span class="sign" aria-hidden="true">${SIGNS[level]}</span>${children}</span>
`;

const ORDER = 6;

/** A node has the same colour everywhere; its name stands beside it. */
export function ownerClass(nodes, node) {
  const index = nodes.findIndex((row) => row.node === node);
  return index < 0 ? "owner-none" : `owner-${index % ORDER}`;
}

export const NodeName = ({ nodes, node }) => html`
  <span class="node-name ${ownerClass(nodes, node)}"><span class="swatch" aria-hidden="true"></span>${node}</span>
`;

/** `foo` of `foo@host`, unless two nodes would look alike. */
export function shortName(nodes, node) {
  const short = node.split("@")[0];
  return nodes.filter((row) => row.node.split("@")[0] === short).length > 1 ? node : short;
}
