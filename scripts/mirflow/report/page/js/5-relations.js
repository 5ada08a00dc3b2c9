// How keys go together, where tracks lie among each other, what labels there are.

function correlationView(main) {
  main.append(el("h1", {}, "Correlation"));
  const { keys = [], rho = [] } = STATISTICS.correlation ?? {};
  if (!rho.some((line, one) => line.some((value, two) => value != null && one !== two))) return void main.append(el("p", {}, "Too few tracks or keys to say how keys go together."));
  const readout = el("p", { class: "readout", "aria-live": "polite" }, "Point at a cell to read it.");
  const holder = chart(300, width => matrix(keys, rho, Math.min(width, 900), readout));
  main.append(
    el("p", { class: "lead" }, `Spearman's rank correlation of ${count(keys.length, "key")}, those that go together side by side. `,
      "Two keys are compared over the tracks that have both."),
    el("figure", {}, el("div", { class: "legend", "aria-hidden": "true" }, el("span", {}, "−1"), el("span", { class: "ramp" }), el("span", {}, "+1")),
      holder, readout));
  const pairs = [];
  for (let one = 0; one < keys.length; one++) {
    for (let two = 0; two < one; two++) if (rho[one][two] != null) pairs.push([keys[two], keys[one], rho[one][two]]);
  }
  pairs.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
  main.append(el("section", {}, el("h2", {}, "Strongest pairs"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Strongest pairs" },
    el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ["Key", "Key", "ρ"].map(text => el("th", { scope: "col" }, text)))),
      el("tbody", {}, pairs.slice(0, 40).map(([one, two, value]) => el("tr", {},
        el("td", {}, one), el("td", {}, two), el("td", { class: "number" }, show(value)))))))));
}

function matrix(keys, rho, width, readout) {
  const scale = d3.scaleDiverging([-1, 0, 1], d3.piecewise(d3.interpolateRgb, [colour("bad"), colour("page"), colour("accent")]));
  const drawn = plot(`Matrix of the rank correlations of ${count(keys.length, "key")}; the strongest pairs stand in the table below`, {
    width, height: width, margin: 0,
    x: { domain: [0, keys.length], axis: null }, y: { domain: [0, keys.length], axis: null, reverse: true },
    color: { type: "identity" },
    marks: [Plot.raster(rho.flat().map(value => (value == null ? colour("band") : scale(value))),
      { width: keys.length, height: keys.length, x1: 0, x2: keys.length, y1: 0, y2: keys.length, imageRendering: "pixelated", interpolate: "none" })],
  });
  const at = event => {
    const box = drawn.getBoundingClientRect();
    const [column, line] = [event.clientX - box.left, event.clientY - box.top]
      .map(offset => Math.min(Math.max(Math.floor((offset / box.width) * keys.length), 0), keys.length - 1));
    readout.replaceChildren(`${keys[line]} and ${keys[column]}: `, el("strong", {}, rho[line][column] == null ? "not known" : show(rho[line][column])));
  };
  drawn.addEventListener("pointermove", at);
  drawn.addEventListener("pointerdown", at);
  return drawn;
}

const MOST_POINTS = 2000; // as many elements are drawn at once without delay

/** Return at most so many of some rows, evenly. */
function sample(rows, most = MOST_POINTS) {
  return rows.length <= most ? rows : d3.range(most).map(place => rows[Math.floor((place * rows.length) / most)]);
}

/** Draw a point for each track; a click opens it. `x` and `y` give the place of a row, `options` are those of Plot. */
function points(rows, { says, height, x, y, fill }, options) {
  return chart(height, width => {
    const drawn = plot(says, {
      width, height, ...options,
      marks: [
        ...(options.marks ?? []),
        Plot.dot(rows, { x, y, r: rows.length > 500 ? 2.5 : 4, fill: fill ?? "var(--accent)", fillOpacity: 0.65, stroke: "var(--page)", strokeWidth: 0.5 }),
        Plot.dot(rows, Plot.pointer({ x, y, r: 6, stroke: "var(--text)", strokeWidth: 2 })),
        Plot.tip(rows, Plot.pointer({ x, y, title: described, fill: "var(--page)", stroke: "var(--line)" })),
      ],
    });
    drawn.style.cursor = "pointer";
    drawn.addEventListener("click", () => {
      if (drawn.value != null) location.hash = trackLink(drawn.value).getAttribute("href");
    });
    return drawn;
  });
}

function described(row) {
  const facts = [clock(COLUMNS.seconds?.[row]), COLUMNS.bpm?.[row] != null && `${show(COLUMNS.bpm[row])} BPM`, keyOf(row)];
  return `${TRACKS[row]}\n${facts.filter(Boolean).join(" · ")}`;
}

function mapView(main, parameters) {
  main.append(el("h1", {}, "Map"));
  const map = PAGE.map;
  if (!map) return void main.append(el("p", {}, "Too few tracks or numbers for a map."));
  const rows = sample(map.rows);
  const of = new Map(map.rows.map((row, place) => [row, place]));
  const choices = ["", ...[...KEYS.values()].filter(key => colourable(key)).map(key => key.key)];
  const holder = el("div");
  const choose = el("select", { id: "by", change: () => fill() },
    choices.map(key => el("option", { value: key, selected: parameters.get("by") === key }, key || "nothing")));
  main.append(
    el("p", { class: "lead" }, map.says, rows.length < TRACKS.length ? ` ${grouped.format(rows.length)} of ${count(TRACKS.length, "track")} are drawn.` : "",
      " A click opens a track; the ", el("a", { href: "#tracks" }, "table"), " has all of them."),
    el("div", { class: "controls" }, el("label", { for: "by" }, "Colour by", choose)), holder);
  function fill() {
    clearCharts();
    const key = KEYS.get(choose.value);
    holder.replaceChildren(figure(`Across: ${map.axes[0]}. Up: ${map.axes[1]}.`, points(rows, {
      says: `Map of ${count(rows.length, "track")}`, height: Math.min(640, Math.max(320, innerHeight - 260)),
      x: row => map.x[of.get(row)], y: row => map.y[of.get(row)], fill: key && coloured(key),
    }, {
      color: key && colourScale(key),
      margin: 10, inset: 8, x: { axis: null }, y: { axis: null },
    })));
    note("map", { by: choose.value });
  }
  fill();
}

const OTHERS = "others", NAMED_COLOURS = 5; // more cannot be told apart in small points

function colourable(key) {
  return key.kind === "number" ? ascending(key.key).length > 1 : frequent(key).length > 0;
}

/** Return the values of a text that most tracks have; none where nearly every track has one of its own. */
function frequent(key) {
  const counts = d3.rollups(COLUMNS[key.key].filter(value => value != null), rows => rows.length, value => value);
  return counts.filter(([, number]) => number > 1).sort((a, b) => b[1] - a[1]).slice(0, NAMED_COLOURS).map(([value]) => value);
}

function coloured(key) {
  const column = COLUMNS[key.key];
  if (key.kind === "number") return row => column[row];
  const named = new Set(frequent(key));
  return row => (named.has(column[row]) ? column[row] : OTHERS);
}

function colourScale(key) {
  if (key.kind !== "number") {
    const colours = d3.range(NAMED_COLOURS).map(place => `var(--c${place + 1})`);
    const named = frequent(key);
    return { type: "categorical", legend: true, domain: [...named, OTHERS], range: [...colours.slice(0, named.length), "var(--faint)"] };
  }
  const values = ascending(key.key);
  return { type: "linear", domain: [d3.quantileSorted(values, 0.02), d3.quantileSorted(values, 0.98)], clamp: true, scheme: "viridis",
    label: `${key.key}${key.unit && key.unit !== "1" ? ` (${key.unit})` : ""}`, legend: true };
}

function labelsView(main) {
  main.append(el("h1", {}, "Labels"));
  const heads = Object.entries(STATISTICS.labels ?? {}).filter(([, labels]) => Object.keys(labels).length);
  if (!heads.length) {
    main.append(el("p", {}, "No track has labels of genre, mood or instruments. They are made on request: the setting labels.backend."));
    return;
  }
  main.append(el("p", { class: "lead" }, "In how many tracks a label is at least this likely: 0.1 (pale), 0.3, 0.5 (dark)."));
  for (const [head, labels] of heads) {
    const shown = Object.entries(labels).slice(0, 30);
    const bars = shown.flatMap(([label, counts]) => counts.map((number, place) => ({ label, number, place })));
    const height = 30 + 20 * shown.length;
    main.append(el("section", {}, el("h2", {}, head),
      figure(Object.keys(labels).length > shown.length && `The ${shown.length} most frequent of ${count(Object.keys(labels).length, "label")}.`,
        chart(height, width => plot(
          `Bars of ${head}: ${shown.slice(0, 5).map(([label, counts]) => `${label} in ${count(counts[0], "track")}`).join(", ")}`, {
            width, height, marginLeft: Math.min(170, width / 2.5), marginTop: 22, marginBottom: 4, marginRight: 10,
            x: { axis: "top", label: null, tickSize: 3, ticks: Math.max(2, Math.floor(width / 110)), tickFormat: value => (Number.isInteger(value) ? grouped.format(value) : "") },
            y: { domain: shown.map(([label]) => label), label: null, tickSize: 0, tickFormat: text => (text.length > 24 ? `${text.slice(0, 23)}…` : text) },
            marks: [Plot.barX(bars, { x2: "number", x1: 0, y: "label", fill: "var(--accent)", fillOpacity: bar => [0.25, 0.5, 1][bar.place], insetTop: 2, insetBottom: 2,
              title: bar => `${bar.label}: ${count(bar.number, "track")}` })],
          })))));
  }
}

function pairsView(main) {
  main.append(el("h1", {}, "Tempo and loudness"));
  const all = d3.range(TRACKS.length);
  const having = (...keys) => all.filter(row => keys.every(key => COLUMNS[key]?.[row] != null));
  const keys = having("bpm", "tonic", "tonic_scale");
  const names = ["minor", "major"].flatMap(scale => d3.range(12).reverse().map(tonic => `${PITCH_CLASSES[tonic]} ${scale}`));
  pair(main, "Tempo and key", keys, { x: row => COLUMNS.bpm[row], y: keyOf, height: 24 * 18 + 60 }, {
    marginLeft: 66, marginBottom: 36, grid: true, inset: 8, x: { label: "BPM" }, y: { type: "point", domain: names.reverse(), label: null, tickSize: 0 },
  });
  const levels = having("lufs", "lra");
  pair(main, "Loudness and dynamics", levels, { x: row => COLUMNS.lufs[row], y: row => COLUMNS.lra[row], height: 420 }, {
    marginLeft: 44, marginBottom: 36, grid: true, inset: 8, x: { label: "integrated loudness (LUFS)" }, y: { label: "loudness range (LU)" },
  });
}

function pair(main, title, rows, places, options) {
  const drawn = sample(rows);
  main.append(el("section", {}, el("h2", {}, title), rows.length
    ? figure(drawn.length < rows.length && `${grouped.format(drawn.length)} of ${count(rows.length, "track")} are drawn.`,
      points(drawn, { says: `${title} of ${count(drawn.length, "track")}`, ...places }, options))
    : el("p", {}, "No track has both.")));
}
