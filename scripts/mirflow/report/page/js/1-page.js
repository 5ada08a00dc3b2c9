"use strict";
// What all views use: the data, elements, numbers as text, addresses. Texts from files become text nodes only, never HTML.

const STATISTICS = JSON.parse(document.getElementById("statistics").textContent);
const PAGE = JSON.parse(document.getElementById("page").textContent);
const DETAILS = document.getElementById("details").textContent.split("\n");
const TRACKS = STATISTICS.tracks.id;
const COLUMNS = { ...STATISTICS.tracks.texts, ...STATISTICS.tracks.labels, ...STATISTICS.tracks.numbers, seconds: STATISTICS.tracks.seconds };
const KEYS = new Map([["seconds", "number"], ...Object.keys(STATISTICS.tracks.numbers).map(key => [key, "number"]),
  ...Object.keys(COLUMNS).filter(key => key !== "seconds" && !(key in STATISTICS.tracks.numbers)).map(key => [key, "text"])]
  .map(([key, kind]) => [key, { key, kind, feature: "other keys", ...STATISTICS.keys[key] }]));
KEYS.set("seconds", { ...KEYS.get("seconds"), feature: "source", meaning: "duration" });
const NUMBERS = [...KEYS.values()].filter(key => key.kind === "number" && STATISTICS.keys[key.key]);
const PITCH_CLASSES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

/** Return what is known of a track beyond its row, or null where the report holds only a sample. */
function details(row) {
  const line = DETAILS[row];
  return line ? JSON.parse(line) : null;
}

/** Make an element. Attributes that are functions are listeners; false and null leave an attribute out. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4, useGrouping: false });
const grouped = new Intl.NumberFormat("en");

/** Return a number with four significant digits, whole numbers with all of theirs; other values as they are. */
function show(value) {
  if (value == null) return "–";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value).replace("-", "−");
  if (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7) return value.toExponential(2).replace(/-/g, "−");
  return plain.format(value).replace("-", "−");
}

/** Return a name in which a line may also break after an underscore and a slash. */
function breakable(name) {
  return name.split(/(?<=[_/])/).flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
}

const UNNAMED = new Set(["1", "name", "ratio", "count", "score", "0 or 1", "pitch class"]); // units that say nothing beside a value

function unit(key) {
  return key.unit && !UNNAMED.has(key.unit) && el("span", { class: "unit" }, key.unit);
}

/** Return a text in which `what stands between such marks` is code. */
function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

/** Return a number with as many decimals as the others of its key, so that they can stand below each other. */
const aligned = (() => {
  const decimals = new Map();
  return (key, value) => {
    if (!decimals.has(key)) {
      const values = ascending(key);
      const largest = Math.max(Math.abs(d3.quantileSorted(values, 0.01)), Math.abs(d3.quantileSorted(values, 0.99)));
      decimals.set(key, values.every(Number.isInteger) ? 0 : Math.min(Math.max(4 - Math.ceil(Math.log10(largest || 1)), 0), 6));
    }
    return value.toFixed(decimals.get(key)).replace("-", "−");
  };
})();

function count(number, noun, many = `${noun}s`) {
  return `${grouped.format(number)} ${number === 1 ? noun : many}`;
}

function percent(share) {
  const value = 100 * share;
  return `${value > 0 && value < 1 ? "<1" : value > 99 && value < 100 ? ">99" : Math.round(value)} %`;
}

/** Return a time as 3:05 or 1:02:03. */
function clock(seconds) {
  if (seconds == null) return "–";
  const whole = Math.round(seconds);
  const two = number => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Return how long a library is. */
function duration(seconds) {
  return seconds < 5400 ? count(Math.round(seconds / 60), "minute") : count(Math.round(seconds / 3600), "hour");
}

/** Percent-encode a path for an address; bytes of names that are no UTF-8 (see Python's surrogateescape) stay bytes. */
function encode(path) {
  return Array.from(path, character => {
    const code = character.charCodeAt(0);
    if (character.length === 1 && code >= 0xdc80 && code <= 0xdcff) return `%${(code - 0xdc00).toString(16)}`;
    if (character.length === 1 && code >= 0xd800 && code <= 0xdfff) return "%EF%BF%BD";
    return character === "/" ? "/" : encodeURIComponent(character).replace(/'/g, "%27");
  }).join("");
}

const ROWS = new Map(TRACKS.map((track, row) => [encode(track), row]));

function trackLink(row, text = TRACKS[row]) {
  return el("a", { href: `#track/${encode(TRACKS[row])}`, class: "track" }, breakable(text));
}

/** Return the place of another view, with its parameters. */
function place(view, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const query = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `#${view}${query ? `?${query}` : ""}`;
}

/** Return the numbers of a column that exist, ascending; computed once. */
const ascending = (() => {
  const known = new Map();
  return key => {
    if (!known.has(key)) {
      known.set(key, Float64Array.from(COLUMNS[key].filter(value => typeof value === "number")).sort());
    }
    return known.get(key);
  };
})();

function keyOf(row) {
  const tonic = COLUMNS.tonic?.[row];
  const scale = COLUMNS.tonic_scale?.[row];
  return tonic == null ? null : `${PITCH_CLASSES[tonic]} ${scale ?? ""}`.trim();
}
