// Charts are drawn when they come into view, and again when their width or the colour scheme changes.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const drawings = new Map(); // holder → how to draw into it, of the view that is shown
const seen = new IntersectionObserver(entries => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting && drawings.has(target) && !target.dataset.width) redraw(target);
  }
}, { rootMargin: "200px" });
const resized = new ResizeObserver(entries => {
  for (const { target } of entries) {
    if (target.dataset.width && Number(target.dataset.width) !== target.clientWidth) redraw(target);
  }
});

function redraw(holder) {
  if (!holder.clientWidth || !drawings.has(holder)) return; // it is not shown any more
  holder.dataset.width = holder.clientWidth;
  holder.replaceChildren(drawings.get(holder)(holder.clientWidth));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const holder of drawings.keys()) if (holder.dataset.width) redraw(holder);
});

/** Forget the charts of the view that was shown. */
function clearCharts() {
  for (const holder of drawings.keys()) {
    seen.unobserve(holder);
    resized.unobserve(holder);
  }
  drawings.clear();
}

/** Return a place for a chart of some height. `draw` gets the width, and returns an element. */
function chart(height, draw, attributes = {}) {
  const holder = el("div", { class: "chart", style: `min-height:${height}px`, ...attributes });
  drawings.set(holder, draw);
  seen.observe(holder);
  resized.observe(holder);
  return holder;
}

/** Draw with Plot; `says` is what a screen reader says instead. */
function plot(says, options) {
  const style = { fontFamily: "inherit", fontSize: "11px", overflow: "visible" };
  const drawn = Plot.plot({ style, ...options, marks: options.marks.filter(Boolean) });
  const svg = drawn.tagName === "svg" ? drawn : drawn.querySelector("svg:last-of-type");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", says);
  // Plot names its marks, which are no elements that a screen reader could go to.
  for (const mark of svg.querySelectorAll("g[aria-label]")) mark.removeAttribute("aria-label");
  return drawn;
}

function figure(caption, holder) {
  return el("figure", {}, holder, caption && el("figcaption", {}, caption));
}
