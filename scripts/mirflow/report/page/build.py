"""The file report.html: the statistics of a library and what is drawn of its tracks, with the code that shows them.

The file needs nothing else: no connection, no other file but the sounds that it plays. Its security policy allows no
request, and only the scripts of this package, by their hashes: whatever a file name or a text contains stays text.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mirflow.report.page import details, map

VERSION = 1  # raise it when the page shows something else; its scripts and styles count by themselves
HERE = Path(__file__).parent
VENDORED = ("d3.min.js", "plot.min.js")  # in the order in which they are needed


@cache
def scripts() -> tuple[str, ...]:
    """Return the scripts of the page in their order: the plotting library, then ours as one."""
    ours = "\n".join(path.read_text() for path in sorted((HERE / "js").glob("*.js")))
    return (*((HERE / "vendor" / name).read_text() for name in VENDORED), ours)


@cache
def digest() -> str:
    """Return a hash of everything that the page is made of beside the code in Python."""
    parts = [*scripts(), *((HERE / name).read_text() for name in ("page.html", "page.css"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def policy() -> str:
    """Return the content security policy: only scripts of this package, styles, and sounds beside the file."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts()
    )
    rules = {
        "default-src": "'none'",
        "script-src": hashes,
        "style-src": "'unsafe-inline'",  # charts have styles of their own
        "img-src": "data:",  # of charts
        "media-src": "'self' file:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {allowed}" for name, allowed in rules.items())


def of_library(statistics: Mapping[str, Any], results: str, stem_format: str = "mp3") -> bytes:
    """Return the page of a library.

    Parameters
    ----------
    statistics : the content of statistics.json
    results : where the artifacts of the tracks lie
    stem_format : suffix of the stems' files

    Raises
    ------
    MirflowError : the .INFO of a track is damaged or gone
    """
    tracks = statistics["tracks"]["id"]
    lines = {track: embedded(details.of_track(results, track, stem_format)) for track in tracks}
    named = {track for finding in statistics["findings"] for track in finding["tracks"]}
    shown = details.chosen({track: len(line) for track, line in lines.items()}, named)
    sampled = None
    if len(shown) < len(tracks):
        sampled = (
            f"those of all {len(tracks)} tracks would make the page too large, so it holds those of {len(shown)}, the"
            " tracks that findings name and others evenly spread over the library"
        )
    about = {"map": map.of_library(results, tracks, statistics["tracks"]["numbers"]), "sampled": sampled}
    return page(statistics, about, [lines[track] if track in shown else "" for track in tracks])


def page(statistics: Mapping[str, Any], about: Mapping[str, Any], lines: Iterable[str]) -> bytes:
    """Return the page.

    Parameters
    ----------
    statistics : the content of statistics.json
    about : "map", see `mirflow.report.page.map`, and "sampled", a sentence on what is left out; both may be None
    lines : for each track in the order of the statistics its details as `embedded`; "" where they are left out
    """
    filled = {
        "policy": html.escape(policy()),
        "style": (HERE / "page.css").read_text(),
        "page": embedded(about),
        "statistics": embedded(statistics),
        "details": "\n".join(lines),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts()),
    }
    first, *others = (HERE / "page.html").read_text().split("{{")
    parts = [first]
    for other in others:
        name, _, rest = other.partition("}}")
        parts += [filled[name], rest]
    return "".join(parts).encode(errors="backslashreplace")


def embedded(content: Any) -> str:
    r"""Return JSON that can stand in an element of a page: nothing in it can end the element.

    >>> embedded("</script>")
    '"\\u003c/script>"'
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
