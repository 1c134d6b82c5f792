// A table that is sorted by a click on a column's head, and searched.
import { html, Component } from "./html.js";

/**
 * `columns`: { key, title, cell(row), sort(row), number, optional }. `rows` have a `key`. With `search`, a text
 * of each row, it has a field to search in them.
 */
export class Table extends Component {
  state = { by: null, down: false, wanted: "" };

  sortBy(key) {
    this.setState(({ by, down }) => ({ by: key, down: by === key ? !down : false }));
  }

  sorted() {
    const { columns, rows, search } = this.props;
    const { by, down, wanted } = this.state;
    const found = search && wanted ? rows.filter((row) => search(row).toLowerCase().includes(wanted)) : rows;
    const column = columns.find(({ key }) => key === by);
    if (!column) return found;
    const order = (a, b) => {
      const [left, right] = [column.sort(a), column.sort(b)];
      if (left === right) return 0;
      // What is not known comes last.
      if (left === null || left === undefined) return down ? -1 : 1;
      if (right === null || right === undefined) return down ? 1 : -1;
      return left < right ? -1 : 1;
    };
    return [...found].sort((a, b) => (down ? -order(a, b) : order(a, b)));
  }

  render({ label, columns, rows, search, empty, rowClass }, { by, down, wanted }) {
    if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
    const sorted = this.sorted();
    const isSorted = (key) => (by !== key ? undefined : down ? "descending" : "ascending");
    return html`
      ${search && rows.length > 8 && html`
        <input type="search" placeholder="Search" aria-label=${`Search ${label}`} value=${wanted}
          onInput=${(event) => this.setState({ wanted: event.target.value.trim().toLowerCase() })} />
      `}
      <div class="scroll" tabindex="0" role="region" aria-label=${label}>
        <table>
          <thead><tr>
            ${columns.map(({ key, title, number, optional, sort }) => html`
              <th key=${key} scope="col" class=${`${number ? "number" : ""} ${optional ? "optional" : ""}`} aria-sort=${isSorted(key)}>
                ${sort ? html`<button onClick=${() => this.sortBy(key)}>${title}<span aria-hidden="true">${by === key ? (down ? " ↓" : " ↑") : ""}</span></button>` : title}
              </th>
            `)}
          </tr></thead>
          <tbody>
            ${sorted.map((row) => html`
              <tr key=${row.key} class=${rowClass?.(row) ?? ""}>
                ${columns.map(({ key, cell, number, optional }) => html`
                  <td key=${key} class=${`${number ? "number" : ""} ${optional ? "optional" : ""}`}>${cell(row)}</td>
                `)}
              </tr>
            `)}
          </tbody>
        </table>
      </div>
      ${sorted.length === 0 && html`<p class="empty">Nothing is found by “${wanted}”.</p>`}
    `;
  }
}
