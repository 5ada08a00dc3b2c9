"""The findings about a library in one line, for the end of a run."""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError
from mirflow.export import prompts
from mirflow.report import build, values
from mirflow.report.findings import SEVERITIES
from mirflow.workflow import exports
from mirflow.workflow.wording import count

MOST = 1000  # tracks, some seconds of work; of more of them, the findings are told only where they are written down


def line(results: str, tracks: Mapping[str, Path], skip: Collection[str], crops: bool) -> str | None:
    """Return how many findings there are and what shows them; None where there are none, or nobody knows.

    They are read from statistics.json where it is newer than all merges, and else computed.

    Parameters
    ----------
    tracks : id → source file, of the tracks that were asked for
    skip : steps whose failures do not count
    crops : whether a track without its crops is not complete
    """
    try:
        if _is_newest(layout.statistics(results), results, tracks):
            found = artifacts.read_json(layout.statistics(results))["findings"]
        elif len(tracks) <= MOST:
            failed = exports.incomplete(results, tracks, skip, crops)
            if len(failed) == len(tracks):
                return None  # what the summary says already
            library = values.read(results, {track: str(source) for track, source in tracks.items()}, failed)
            found = build.build(library, build.Captions(128, prompts.estimate, exact=False))["findings"]
        else:
            return None
    except (OSError, MirflowError):
        return None
    return said(found, f"`mirflow stats {results}` shows them") if found else None


def said(findings: list[Mapping], where: str) -> str:
    """Return how many findings there are, by severity."""
    if not findings:
        return f"mirflow: no findings about the library; {where}"
    counts = Counter(one["severity"] for one in findings)
    kinds = ", ".join(count(counts[severity], severity) for severity in SEVERITIES if counts[severity])
    return f"mirflow: {count(len(findings), 'finding')} about the library ({kinds}); {where}"


def made(results: str, since: float) -> list[str]:
    """Return a line about report.html or statistics.json if it was made since a time (s since the epoch)."""
    statistics = layout.statistics(results)
    paths = (layout.report(results), statistics)
    new = [path for path in paths if os.path.exists(path) and os.stat(path).st_mtime >= since]
    return [said(artifacts.read_json(statistics)["findings"], f"in {new[0]}")] if new else []


def _is_newest(path: str, results: str, tracks: Collection[str]) -> bool:
    """Whether a file is newer than the last merge of each track, and than what concerns all of them."""
    try:
        written = os.stat(path).st_mtime_ns
    except OSError:
        return False
    for other in (layout.duplicates_table(results), *(layout.merge_stamp(results, track) for track in tracks)):
        try:
            if os.stat(other).st_mtime_ns > written:
                return False
        except OSError:
            continue
    return True
