// Which view is shown: the part of the address after #, as view?name=value.

const VIEWS = [
  ["decisions", "Decisions", decisionsView],
  ["numbers", "Numbers", numbersView],
  ["correlation", "Correlation", correlationView],
  ["map", "Map", mapView],
  ["labels", "Labels", labelsView],
  ["pairs", "Tempo and loudness", pairsView],
  ["tracks", "Tracks", tracksView],
];

function scope() {
  const { tracks, failed, seconds } = STATISTICS.library;
  return `${count(tracks, "track")}${failed ? `, ${grouped.format(failed)} failed` : ""}, ${duration(seconds)}`;
}

function go() {
  const [path, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const [name, ...rest] = path.split("/");
  const view = VIEWS.find(([known]) => known === name) ?? (name === "track" ? ["tracks", "Track", trackView] : VIEWS[0]);
  clearCharts();
  const main = document.getElementById("main");
  main.replaceChildren();
  main.className = name === "track" ? "track" : view[0];
  view[2](main, new URLSearchParams(query), rest.join("/"));
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#${view[0]}`) link.setAttribute("aria-current", name === "track" ? "true" : "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${main.querySelector("h1").textContent} – mirflow report`;
  scrollTo(0, 0);
}

/** Change the parameters of the view that is shown, without leaving or drawing it again. */
function note(view, parameters) {
  history.replaceState(null, "", place(view, parameters));
}

document.getElementById("views").append(
  ...VIEWS.map(([name, title]) => el("li", {}, el("a", { href: `#${name}` }, title))),
);
document.getElementById("scope").append(scope());
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault(); // the part after # says which view is shown
  document.getElementById("main").focus();
});
addEventListener("hashchange", () => {
  go();
  document.getElementById("main").focus({ preventScroll: true });
});
go();
document.documentElement.dataset.ready = "yes";
