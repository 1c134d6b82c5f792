// Numbers with their units. Each value has one form, of a width that hardly changes.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** 1234567 → "1,234,567" */
export const count = (value) => (isNumber(value) ? grouped.format(value) : NONE);

function scaled(value, units, base = 1000) {
  let unit = 0;
  while (Math.abs(value) >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 && Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** 1234567 → "1.23 MB" */
export const bytes = (value) => (isNumber(value) ? scaled(value, ["B", "kB", "MB", "GB", "TB"]) : NONE);

/** 12345.6 → "12.3 k/s" */
export const rate = (value) => (isNumber(value) ? scaled(Math.round(value * 10) / 10, ["/s", "k/s", "M/s"]) : NONE);

/** Seconds: 0.00123 → "1.23 ms" */
export function seconds(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0 ms";
  if (value < 1) return scaled(value * 1e6, ["µs", "ms"]);
  return `${value.toFixed(2)} s`;
}

/** 0.987 → "98.7 %" */
export const percent = (value) => (isNumber(value) ? `${(value * 100).toFixed(1)} %` : NONE);

/** A time span in whole units: 7260 → "2 h 1 min" */
export function span(total) {
  if (!isNumber(total)) return NONE;
  const s = Math.max(0, Math.floor(total));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** The same, in its largest unit alone: "2 h" */
export const age = (total) => span(total).split(" ").slice(0, 2).join(" ");

export const ago = (total) => (isNumber(total) ? `${age(total)} ago` : NONE);

const two = (value) => String(value).padStart(2, "0");

/** The time of day of a Unix time in milliseconds. */
export function clock(ms) {
  if (!isNumber(ms)) return NONE;
  const date = new Date(ms);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Bytes as the API sends them: a string, or { hex } if they are not UTF-8. */
export function text(value) {
  if (value === null || value === undefined) return NONE;
  if (typeof value === "string") return value;
  return value.hex.replace(/../g, "\\x$&");
}

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
