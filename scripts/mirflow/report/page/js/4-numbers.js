// The distribution of every number, with the range that a conditioner has for it.

const CARD_HEIGHT = 96;

function numbersView(main, parameters) {
  main.append(el("h1", {}, "Numbers"));
  if (!NUMBERS.length) return void main.append(el("p", {}, "No track has a number."));
  const status = el("p", { role: "status", class: "hint" });
  const box = el("ul", { class: "grid" });
  const search = el("input", { type: "search", id: "find", value: parameters.get("find") ?? "", input: () => fill() });
  const sort = el("select", { id: "order", change: () => fill() },
    [["feature", "as features declare them"], ["missing", "most null values first"], ["clipped", "most outside the range first"]]
      .map(([value, text]) => el("option", { value, selected: parameters.get("order") === value }, text)));
  main.append(
    el("p", { class: "lead" }, "Bars: how many tracks. Shaded: the range of the conditioner; what lies outside of it ",
      "is clamped to its ends in training, and drawn in red."),
    el("div", { class: "controls" },
      el("label", { for: "find" }, "Find", search), el("label", { for: "order" }, "Order", sort)),
    status, box);

  function fill() {
    const wanted = search.value.trim().toLowerCase();
    const found = NUMBERS.filter(({ key, feature, meaning }) =>
      `${key} ${feature ?? ""} ${meaning ?? ""}`.toLowerCase().includes(wanted));
    const of = key => STATISTICS.keys[key.key] ?? {};
    if (sort.value === "missing") found.sort((a, b) => nulls(b) - nulls(a));
    if (sort.value === "clipped") found.sort((a, b) => outside(of(b)) - outside(of(a)));
    status.replaceChildren(count(found.length, "number"));
    clearCharts();
    box.replaceChildren(...found.map(key => el("li", {}, card(key, of(key)))));
    note("numbers", { find: search.value, order: sort.value === "feature" ? "" : sort.value });
  }
  fill();
}

/** Return the share of the tracks that have no value. */
function nulls(key) {
  return 1 - ascending(key.key).length / Math.max(TRACKS.length, 1);
}

/** Return the share of the values outside of the range of the conditioner. */
function outside(one) {
  return one.count ? ((one.clipped_below ?? 0) + (one.clipped_above ?? 0)) / one.count : 0;
}

function brief(value) {
  return show(Number(value.toPrecision(3)));
}

function card(key, one) {
  const facts = [];
  if (one.count) facts.push(`median ${brief(one.median)}`, `99 % in ${brief(one.p0_5)} to ${brief(one.p99_5)}`);
  const missing = nulls(key);
  if (missing) facts.push(el("strong", {}, `${percent(missing)} null`));
  const clipped = outside(one);
  if (clipped) {
    const [low, high] = key.range;
    facts.push(el("a", { href: place("tracks", { where: `${key.key} < ${low} or ${key.key} > ${high}` }), class: "bad" },
      `${percent(clipped)} outside`));
  }
  return el("article", { class: "card" },
    el("h2", {}, breakable(key.key), unit(key)),
    el("p", { class: "meaning" }, key.feature && !key.meaning ? key.feature : key.meaning),
    one.count ? chart(CARD_HEIGHT, width => histogram(key, one, width, CARD_HEIGHT)) : el("p", { class: "empty" }, "null everywhere"),
    el("p", { class: "facts" }, facts.map((fact, place) => [place ? " · " : "", fact])));
}

/** Return bins of ascending values in a domain. What lies beyond it is in the outermost ones. */
function binned(values, [low, high], most) {
  const whole = values.every(Number.isInteger) && high - low < 2 * most;
  const edges = whole ? d3.range(Math.floor(low) - 0.5, Math.ceil(high) + 1) : d3.ticks(low, high, most);
  if (edges[0] > low) edges.unshift(2 * edges[0] - edges[1]);
  if (edges.at(-1) < high) edges.push(2 * edges.at(-1) - edges.at(-2));
  return d3.pairs(edges, (from, to) => ({ from, to })).map((bin, index, { length }) => {
    const first = index === 0 ? 0 : d3.bisectLeft(values, bin.from);
    const last = index === length - 1 ? values.length : d3.bisectLeft(values, bin.to);
    return { ...bin, number: last - first };
  });
}

/** Draw the distribution of a number with the range of its conditioner. */
function histogram(key, one, width, height) {
  const [low, high] = key.range ?? [NaN, NaN];
  let domain = d3.extent([one.p0_5, one.p99_5, ...(key.range ?? [])]);
  if (domain[0] === domain[1]) domain = [domain[0] - 0.5, domain[1] + 0.5];
  const bars = binned(ascending(key.key), domain, Math.min(one.count < 100 ? 20 : 50, Math.floor(width / 5)));
  const isOut = bar => bar.to <= low || bar.from >= high;
  const range = key.range ? `; range of the conditioner ${show(low)} to ${show(high)}` : "";
  return plot(
    `Histogram of ${key.key}: ${count(one.count, "track")}, median ${show(one.median)}, ` +
      `99 % between ${show(one.p0_5)} and ${show(one.p99_5)}${range}`,
    {
      width, height, marginLeft: 6, marginRight: 6, marginTop: 4, marginBottom: 20,
      x: { domain: [bars[0].from, bars.at(-1).to], ticks: Math.max(2, Math.floor(width / 60)), tickSize: 3, label: null, tickFormat: show },
      y: { axis: null },
      marks: [
        key.range && Plot.rect([key.range], { x1: low, x2: high, fill: "var(--band)" }),
        Plot.rectY(bars, { x1: "from", x2: "to", y: "number", insetLeft: 0.5, insetRight: 0.5,
          fill: bar => (isOut(bar) ? "var(--bad)" : "var(--accent)") }),
        Plot.ruleY([0], { stroke: "var(--faint)" }),
      ],
    });
}
