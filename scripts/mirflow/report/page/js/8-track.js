// One track: its sound, what happens in it over time, its numbers beside those of the library, labels and texts.

const STEM_COLOURS = { mix: "var(--text)", drums: "var(--c1)", bass: "var(--c2)", other: "var(--c3)", vocals: "var(--c4)" };
const SIDES = { marginLeft: 44, marginRight: 10 }; // of all pictures over time, so that they share one time axis
const CHROMA_LEVELS = 15;
const LOWEST_LUFS = -70, LUFS_STEP = 0.5; // as in overview.py

function trackView(main, _parameters, name) {
  const row = ROWS.get(encode(decode(name)));
  if (row === undefined) {
    main.append(el("h1", {}, "No such track"), el("p", {}, el("a", { href: "#tracks" }, "All tracks")));
    return;
  }
  const track = TRACKS[row], found = details(row);
  const order = selection.rows.includes(row) ? selection.rows : d3.range(TRACKS.length);
  const at = order.indexOf(row);
  const near = step => order[at + step] !== undefined &&
    el("a", { href: trackLink(order[at + step]).getAttribute("href"), rel: step < 0 ? "prev" : "next" }, step < 0 ? "Previous" : "Next");
  main.append(
    el("nav", { class: "near", "aria-label": "Tracks" }, el("a", { href: selection.place }, "All tracks"), near(-1), near(1)),
    el("h1", {}, track));
  main.append(el("p", { class: "lead" }, facts(row, found).flatMap((fact, place) => [place ? " · " : "", fact])));
  const findings = findingsOf(track);
  if (findings.length) main.append(el("section", {}, el("h2", {}, "Findings"), el("ul", {}, findings.map(one => el("li", {}, said(one))))));
  if (!found) {
    main.append(el("p", { class: "hint" }, "This report holds the numbers of this track, but not its pictures, labels and texts: ",
      PAGE.sampled ?? ""));
  }
  const seek = sounds(main, track, found);
  if (found?.overview?.failed) main.append(el("p", { class: "bad" }, sentence(found.overview.failed)));
  else if (found?.overview) overTime(main, found.overview, seek);
  if (found?.pictures?.length) {
    main.append(el("p", {}, "Pictures: ", found.pictures.map(path => [el("a", { href: address(track, path) }, path), " "])));
  }
  labelsOf(main, found);
  textsOf(main, found);
  numbersOf(main, row);
}

function decode(name) {
  try {
    return decodeURIComponent(name);
  } catch { // bytes of a name that is no UTF-8
    return unescape(name).replace(/[\x80-\xff]/g, byte => String.fromCharCode(0xdc00 + byte.charCodeAt(0)));
  }
}

function address(track, file) {
  return `${encode(track)}/${encode(file)}`;
}

function facts(row, found) {
  const values = [clock(COLUMNS.seconds?.[row] ?? found?.overview?.seconds)];
  const bpm = COLUMNS.bpm?.[row];
  if (bpm != null) values.push(`${show(bpm)} BPM`);
  if (keyOf(row)) values.push(keyOf(row));
  if (COLUMNS.lufs?.[row] != null) values.push(`${show(COLUMNS.lufs[row])} LUFS`);
  if (COLUMNS.split?.[row]) values.push(`split ${COLUMNS.split[row]}`);
  if (STATISTICS.tracks.source[row]) values.push(el("span", { class: "path" }, STATISTICS.tracks.source[row]));
  return values;
}

/** Add the player; return what goes to a time (in seconds), and calls back as the time passes. */
function sounds(main, track, found) {
  const files = found?.sounds?.length ? found.sounds : ["full_mix.flac"];
  const audio = el("audio", { controls: true, preload: "none", src: address(track, files[0]) });
  const trouble = el("p", { role: "alert", class: "bad" });
  audio.addEventListener("error", () => trouble.replaceChildren(
    `${track}/${new URL(audio.src).pathname.split("/").pop()} cannot be played. The sounds are looked for beside this page: `,
    "keep report.html in the directory of the results, and move both together."));
  const choose = file => {
    const { currentTime, paused } = audio;
    trouble.replaceChildren();
    audio.src = address(track, file);
    audio.addEventListener("loadedmetadata", () => {
      audio.currentTime = currentTime;
      if (!paused) audio.play();
    }, { once: true });
    if (!paused || currentTime) audio.load();
  };
  main.append(el("section", { class: "player" },
    el("h2", {}, "Listen"),
    files.length > 1 && el("fieldset", { class: "choices" }, el("legend", { class: "visually-hidden" }, "What is heard"),
      files.map((file, place) => el("label", {},
        el("input", { type: "radio", name: "sound", checked: !place, change: () => choose(file) }), SOUNDS[file.split(".")[0]] ?? file))),
    audio, trouble));
  return {
    to: seconds => {
      audio.currentTime = seconds;
      audio.play().catch(() => {}); // the listener of errors says why not
    },
    follow: show => audio.addEventListener("timeupdate", () => show(audio.currentTime)),
  };
}

const SOUNDS = { full_mix: "Mix", drums: "Drums", bass: "Bass", other: "Other", vocals: "Vocals", "rhythm/beats": "Clicks on beats", "transcribe/drums": "Transcribed drums" };

function bytes(text) {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

/** Return times in seconds of the differences in hundredths that overview.py writes. */
function times(differences) {
  return Array.from(d3.cumsum(differences), hundredths => hundredths / 100);
}

function overTime(main, overview, player) {
  const beats = times(overview.beats), downbeats = times(overview.downbeats);
  const crops = d3.pairs(overview.crops).filter((_, index) => index % 2 === 0).map(([start, end]) => [start / 100, end / 100]);
  const cursor = el("div", { class: "cursor", hidden: true });
  const x = width => d3.scaleLinear([0, overview.seconds], [SIDES.marginLeft, width - SIDES.marginRight]);
  const lanes = lanesOf(crops);
  const stack = el("div", { class: "stack" },
    chart(130 + 10 * lanes.count, width => waveform(overview, { beats, downbeats, crops, lanes }, x(width), width)),
    chart(170, width => loudness(overview, width)),
    chart(190, width => chroma(overview, width)),
    cursor);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Waveform, loudness and chroma over time" }, stack);
  const zoom = el("select", { id: "zoom", change: () => { stack.style.width = `${100 * zoom.value}%`; } },
    [1, 2, 4, 8, 16].map(value => el("option", { value }, `${value} ×`)));
  stack.addEventListener("click", event => {
    const box = stack.getBoundingClientRect();
    player.to(Math.min(Math.max(x(box.width).invert(event.clientX - box.left), 0), overview.seconds));
  });
  player.follow(seconds => {
    cursor.hidden = false;
    cursor.style.left = `${x(stack.clientWidth)(seconds)}px`;
  });
  const gaps = d3.pairs(beats, (a, b) => b - a);
  main.append(el("section", {}, el("h2", {}, "Over time"),
    el("div", { class: "controls" }, el("label", { for: "zoom" }, "Zoom", zoom)),
    el("figure", {}, scroll, el("figcaption", {},
      `${count(beats.length, "beat")}${gaps.length ? `, ${show(d3.median(gaps))} s apart (median)` : ""}, `,
      `${count(downbeats.length, "downbeat")}${crops.length ? `, ${count(crops.length, "crop")}` : ""}. `,
      "Thin lines are beats and dark ones downbeats, where there is room for them; bars below the waveform are crops. ",
      "Loudness is that of 3 s. A click plays from there."))));
}

/** Return for each crop the lowest lane in which it does not overlap the one before, and how many lanes there are. */
function lanesOf(crops) {
  const ends = [];
  const lane = crops.map(([start, end]) => {
    let free = ends.findIndex(last => last <= start + 1e-9);
    if (free < 0) free = ends.length < 4 ? ends.push(0) - 1 : d3.minIndex(ends);
    ends[free] = end;
    return free;
  });
  return { lane, count: ends.length };
}

/** Draw on a canvas: thousands of columns and lines would be as many elements otherwise. */
function waveform(overview, { beats, downbeats, crops, lanes }, x, width) {
  const height = 130 + 10 * lanes.count, middle = 64, most = 56;
  const canvas = el("canvas", { role: "img", style: `width:${width}px;height:${height}px`,
    "aria-label": `Waveform of ${clock(overview.seconds)}, peak ${show(20 * Math.log10(overview.peak))} dBFS, with beats, downbeats and crops` });
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  const values = bytes(overview.waveform), [left, right] = x.range();
  const lines = (list, style, lineWidth) => {
    pen.strokeStyle = style;
    pen.lineWidth = lineWidth;
    pen.beginPath();
    for (const time of list) {
      pen.moveTo(x(time), middle - most - 4);
      pen.lineTo(x(time), middle + most + 4);
    }
    pen.stroke();
  };
  const room = list => (right - left) / Math.max(list.length, 1) >= 4;
  if (room(beats)) lines(beats, colour("line"), 1);
  pen.fillStyle = colour("accent");
  const step = (right - left) / Math.max(values.length, 1);
  values.forEach((value, column) => {
    const size = Math.max((value / 255) * most, 0.5);
    pen.fillRect(left + column * step, middle - size, Math.max(step - (step > 3 ? 1 : 0), 0.5), 2 * size);
  });
  pen.globalAlpha = 0.6; // so that the waveform stays to be seen
  if (room(downbeats)) lines(downbeats, colour("text"), 1);
  pen.globalAlpha = 1;
  crops.forEach(([start, end], index) => {
    pen.fillStyle = colour(index % 2 ? "muted" : "faint");
    pen.fillRect(x(start), 2 * middle + 2 + 10 * lanes.lane[index], Math.max(x(end) - x(start) - 1, 1), 7);
  });
  pen.fillStyle = colour("muted");
  pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  if (crops.length) pen.fillText("crops", 4, 2 * middle + 9);
  return canvas;
}

function timeAxis(seconds, width) {
  return { domain: [0, seconds], label: null, tickFormat: clock, ticks: Math.max(3, Math.floor(width / 90)), tickSize: 3 };
}

function loudness(overview, width) {
  const points = Object.entries(overview.loudness).flatMap(([sound, text]) => {
    const values = bytes(text);
    return Array.from(values, (value, column) => ({
      sound, time: ((column + 0.5) / values.length) * overview.seconds, lufs: value ? LOWEST_LUFS + LUFS_STEP * value : NaN }));
  });
  const loudest = d3.max(points, point => point.lufs) ?? 0;
  return plot("Short-term loudness of the mix and of its stems over time, in LUFS", {
    width, height: 170, ...SIDES, marginTop: 26, marginBottom: 20,
    x: timeAxis(overview.seconds, width),
    y: { domain: [Math.max(-60, Math.min(loudest - 40, -40)), Math.max(loudest + 1, 0)], label: "LUFS", ticks: 4, tickSize: 3, clamp: true },
    color: { domain: Object.keys(STEM_COLOURS), range: Object.values(STEM_COLOURS), legend: true },
    marks: [Plot.ruleY([0], { stroke: "var(--line)" }),
      Plot.line(points, { x: "time", y: "lufs", z: "sound", stroke: "sound", strokeWidth: point => (point.sound === "mix" ? 2 : 1.2) })],
  });
}

function chroma(overview, width) {
  const packed = bytes(overview.chroma), columns = packed.length / 6;
  const levels = Array.from({ length: 12 * columns }, (_, place) => {
    const pitch = 11 - Math.floor(place / columns), column = place % columns, index = 12 * column + pitch;
    return index % 2 ? packed[index >> 1] & 15 : packed[index >> 1] >> 4;
  });
  return plot("Chroma over time: how strong each of the twelve pitch classes is", {
    width, height: 190, ...SIDES, marginTop: 8, marginBottom: 20,
    x: timeAxis(overview.seconds, width),
    y: { domain: [0, 12], ticks: d3.range(0.5, 12), tickFormat: place => PITCH_CLASSES[Math.floor(place)], tickSize: 0, label: null },
    color: { domain: [0, CHROMA_LEVELS], interpolate: d3.interpolateRgb(colour("page"), colour("accent")) },
    marks: [Plot.raster(levels, { width: columns, height: 12, x1: 0, x2: overview.seconds, y1: 12, y2: 0, imageRendering: "pixelated" })],
  });
}

function labelsOf(main, found) {
  const heads = Object.entries(found?.labels ?? {}).filter(([, labels]) => Object.keys(labels).length);
  if (!heads.length) return;
  main.append(el("section", {}, el("h2", {}, "Labels"), el("div", { class: "heads" }, heads.map(([head, labels]) =>
    el("table", { class: "bars" }, el("caption", {}, head), el("tbody", {},
      Object.entries(labels).sort(([, one], [, two]) => two - one).map(([label, probability]) => el("tr", {},
        el("th", { scope: "row" }, label),
        el("td", {}, el("span", { class: "bar", style: `width:${Math.max(0, Math.min(1, probability)) * 100}%` })),
        el("td", { class: "number" }, show(probability))))))))));
}

function textsOf(main, found) {
  const texts = Object.entries(found?.texts ?? {});
  if (!texts.length) return;
  main.append(el("section", {}, el("h2", {}, "Texts"),
    texts.map(([key, text]) => [el("h3", {}, key), el("p", { class: "prose" }, text)])));
}

function numbersOf(main, row) {
  const groups = d3.groups([...KEYS.values()], key => key.feature ?? "other keys");
  const rank = key => {
    const values = ascending(key.key), value = COLUMNS[key.key][row];
    return typeof value === "number" && values.length > 4
      ? (d3.bisectLeft(values, value) + d3.bisectRight(values, value)) / 2 / values.length : null;
  };
  main.append(el("section", {}, el("h2", {}, "Values"),
    el("p", { class: "hint" }, "The dot says where the value lies among those of all tracks, from the lowest to the highest."),
    el("div", { class: "packed" }, groups.map(([feature, keys]) => el("table", { class: "values" }, el("caption", {}, feature),
      el("colgroup", {}, el("col", { class: "key" }), el("col"), el("col", { class: "place" })),
      el("thead", {}, el("tr", {}, ["key", "value", "percentile"].map(text => el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, text))))),
      el("tbody", {}, keys.map(key => {
        const value = COLUMNS[key.key][row], share = key.kind === "number" ? rank(key) : null;
        const isOut = key.range && value != null && (value < key.range[0] || value > key.range[1]);
        return el("tr", {},
          el("th", { scope: "row", title: key.meaning ?? "" }, breakable(key.key)),
          el("td", { class: isOut ? "number bad" : key.kind === "number" ? "number" : "" },
            cell(key.key, row), value != null && unit(key), isOut && el("span", { class: "visually-hidden" }, " outside of the range")),
          el("td", {}, share != null && el("span", { class: "rank", role: "img", "aria-label": `percentile ${Math.round(100 * share)}` },
            el("span", { style: `left:${100 * share}%` }))));
      })))))));
}
