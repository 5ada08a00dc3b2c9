// What to decide: the findings of statistics.json, with what to do about each.

const SEVERITIES = { error: "Errors", warning: "Warnings", note: "Notes" };
const SHOWN_NAMES = 12; // of tracks or keys; the others are behind a click

function findingsOf(track) {
  return STATISTICS.findings.filter(one => one.tracks.includes(track));
}

function decisionsView(main) {
  const { findings, library } = STATISTICS;
  main.append(el("h1", {}, "Decisions"));
  main.append(el("dl", { class: "facts-row" }, [
    ["Tracks", grouped.format(library.tracks)],
    library.failed && ["Failed", grouped.format(library.failed)],
    ["Duration", duration(library.seconds)],
    ["Numbers", grouped.format(NUMBERS.length)],
    STATISTICS.components.count && [`Components with ${Math.round(100 * STATISTICS.components.carried)} % of the variance`, STATISTICS.components.count],
    ...Object.entries(library.splits ?? {}).map(([split, tracks]) => [`Split ${split}`, grouped.format(tracks)]),
  ].filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
  if (library.few) main.append(el("p", { class: "hint" }, sentence(library.few)));
  if (!findings.length) return void main.append(el("p", {}, "Nothing to decide: no finding."));
  for (const [severity, title] of Object.entries(SEVERITIES)) {
    const found = findings.filter(one => one.severity === severity);
    if (found.length) {
      main.append(el("section", { class: severity }, el("h2", {}, title, el("span", { class: "unit" }, found.length)),
        el("ol", { class: "findings" }, found.map(one => el("li", {}, finding(one))))));
    }
  }
}

/** Begin a text like a sentence, unless it begins with the name of a key or a track, and end it like one. */
function sentence(text, names = []) {
  const isName = names.some(name => text.startsWith(name));
  return `${isName ? text[0] : text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function said(one) {
  return marked(sentence(one.says, [...one.keys, ...one.tracks]));
}

function finding(one) {
  return el("article", {},
    el("h3", {}, said(one)),
    el("p", { class: "do" }, marked(sentence(one.do))),
    one.keys.length > 0 && names("Keys", one.keys, key => (STATISTICS.keys[key] ? el("a", { href: place("numbers", { find: key }) }, key) : key)),
    one.tracks.length > 0 && names("Tracks", one.tracks, track => {
      const row = ROWS.get(encode(track));
      return row === undefined ? track : trackLink(row);
    }));
}

function names(what, list, link) {
  const items = list.map(name => el("li", {}, link(name)));
  const rest = items.splice(SHOWN_NAMES);
  return el("div", { class: "names" }, el("ul", { "aria-label": what }, items),
    rest.length > 0 && el("details", {}, el("summary", {}, `${grouped.format(rest.length)} more`), el("ul", { "aria-label": `More ${what.toLowerCase()}` }, rest)));
}
