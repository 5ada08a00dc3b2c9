// The table of tracks: sorted, filtered, and saved as a list.

const ROWS_AT_ONCE = 100; // rows that are added at a time
const DEFAULT_COLUMNS = ["seconds", "bpm", "tonic", "tonic_scale", "lufs", "lra", "split"];
const selection = { rows: d3.range(TRACKS.length), place: "#tracks" }; // what the table shows, also for pages of single tracks

function tracksView(main, parameters) {
  const state = {
    where: parameters.get("where") ?? "",
    by: parameters.get("by") ?? "",
    down: parameters.get("down") === "yes",
    columns: (parameters.get("columns")?.split(",") ?? DEFAULT_COLUMNS).filter(key => KEYS.has(key)),
  };
  const trouble = el("p", { id: "trouble", role: "alert", class: "bad" });
  const status = el("p", { role: "status", class: "hint" });
  const where = el("input", { id: "where", type: "text", value: state.where, spellcheck: "false", autocomplete: "off",
    placeholder: 'bpm > 120 and tonic_scale == "minor"', "aria-describedby": "trouble", input: () => { state.where = where.value; filter(); } });
  const table = el("table", { class: "tracks" });
  const more = el("button", { type: "button", click: () => grow() }, "Show more");
  const save = el("button", { type: "button", click: () => download() }, "Save this list");
  main.append(
    el("h1", {}, "Tracks"),
    el("div", { class: "controls wide" }, el("label", { for: "where" }, "Filter", where), save),
    trouble, help(), columnsChooser(state, () => { head(); fill(); }), status,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of tracks" }, table), more);
  const body = el("tbody");
  let rows = [], shown = 0;

  function head() {
    const columns = ["track", ...state.columns];
    const header = key => {
      const order = state.by !== key ? null : state.down ? "descending" : "ascending";
      const about = KEYS.get(key);
      return el("th", { scope: "col", "aria-sort": order, class: about?.kind === "number" ? "number" : null },
        el("button", { type: "button", title: about?.meaning ?? "", click: () => sortBy(key) }, key, el("span", { "aria-hidden": "true", class: "arrow" }, order ? (state.down ? "↓" : "↑") : "")));
    };
    table.replaceChildren(el("thead", {}, el("tr", {}, columns.map(header))), body);
  }

  function sortBy(key) {
    state.down = state.by === key && !state.down;
    state.by = key;
    head();
    fill();
    table.querySelectorAll("thead button")[["track", ...state.columns].indexOf(key)].focus();
  }

  function filter() {
    try {
      const keep = state.where.trim() ? condition(state.where, KNOWN, reader) : () => true;
      rows = d3.range(TRACKS.length).filter(keep);
      trouble.replaceChildren();
      where.removeAttribute("aria-invalid");
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      trouble.replaceChildren(error.message);
      where.setAttribute("aria-invalid", "true");
      if (shown) return; // the table stays as it was until the filter is understood
      rows = d3.range(TRACKS.length);
    }
    fill();
  }

  function fill() {
    if (state.by) {
      const column = state.by === "track" ? TRACKS : COLUMNS[state.by] ?? [];
      const compare = state.by === "track" || KEYS.get(state.by)?.kind !== "number" ? collate : d3.ascending;
      const has = rows.filter(row => column[row] != null), lacks = rows.filter(row => column[row] == null);
      has.sort((one, two) => (state.down ? -1 : 1) * compare(column[one], column[two]) || one - two);
      rows = [...has, ...lacks]; // what has no value comes last either way
    } else rows.sort(d3.ascending);
    status.replaceChildren(rows.length === TRACKS.length ? count(rows.length, "track")
      : `${grouped.format(rows.length)} of ${count(TRACKS.length, "track")}`);
    save.disabled = !rows.length;
    selection.rows = rows;
    selection.place = place("tracks", { where: state.where, by: state.by, down: state.down ? "yes" : "",
      columns: state.columns.join() === DEFAULT_COLUMNS.filter(key => KEYS.has(key)).join() ? "" : state.columns.join() });
    history.replaceState(null, "", selection.place);
    body.replaceChildren();
    shown = 0;
    grow();
  }

  function grow() {
    body.append(...rows.slice(shown, shown + ROWS_AT_ONCE).map(row => el("tr", {},
      el("th", { scope: "row" }, trackLink(row)),
      state.columns.map(key => el("td", { class: KEYS.get(key).kind === "number" ? "number" : null }, cell(key, row))))));
    shown = Math.min(shown + ROWS_AT_ONCE, rows.length);
    more.hidden = shown === rows.length;
    more.replaceChildren(`Show ${Math.min(ROWS_AT_ONCE, rows.length - shown)} more of ${grouped.format(rows.length - shown)}`);
  }

  function download() {
    const list = new Blob([lines(rows.map(row => TRACKS[row]))], { type: "text/plain" });
    const address = URL.createObjectURL(list);
    el("a", { href: address, download: "tracks.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    status.replaceChildren(`${count(rows.length, "track")} saved as tracks.txt: `, el("code", {}, "make run ONLY=tracks.txt"), ", or make export");
  }

  head();
  filter();
}

const collate = new Intl.Collator("en", { numeric: true }).compare;

function cell(key, row) {
  const value = COLUMNS[key][row];
  if (value == null) return el("span", { class: "null" }, "null");
  if (key === "seconds") return clock(value);
  if (key === "tonic") return PITCH_CLASSES[value] ?? show(value);
  return typeof value === "number" ? aligned(key, value) : show(value);
}

/** Return lines of text as bytes; bytes of names that are no UTF-8 stay what they were. */
function lines(texts) {
  return Uint8Array.from(unescape(texts.map(text => `${encode(text)}%0A`).join("")), character => character.charCodeAt(0));
}

function columnsChooser(state, changed) {
  const box = key => el("label", {}, el("input", { type: "checkbox", checked: state.columns.includes(key), change: event => {
    state.columns = event.target.checked ? [...state.columns, key] : state.columns.filter(other => other !== key);
    changed();
  } }), key);
  return el("details", {}, el("summary", {}, "Columns"), el("div", { class: "checks" }, [...KEYS.values()].map(({ key }) => box(key))));
}

const KNOWN = ["track", "source", ...KEYS.keys()];

/** Return what reads a key of a row. */
function reader(key) {
  const column = { track: TRACKS, source: STATISTICS.tracks.source }[key] ?? COLUMNS[key];
  return row => column[row];
}

function help() {
  const examples = [
    ['bpm > 120 and tonic_scale == "minor"', "compare with < <= > >= == !=, combine with and, or, not and brackets"],
    ["100 < bpm < 130", "between two numbers"],
    ["tonic in (0, 7)", "one of several values; tonic counts semitones from C"],
    ['"house" in track', "a text that contains another, in upper or lower case"],
    ["lufs_vocals == null", "what has no value; every other comparison with null is false"],
    ['key("my key") > 3', "a key whose name is no single word"],
  ];
  return el("details", {}, el("summary", {}, "How to filter"), el("dl", { class: "help" }, examples.map(([example, text]) => [
    el("dt", {}, el("a", { href: place("tracks", { where: example }) }, el("code", {}, example))), el("dd", {}, text)])));
}
