"""The content of statistics.json: everything that is said of a library as a whole, and its findings."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mirflow import __version__
from mirflow.core import artifacts
from mirflow.core.layout import STEMS
from mirflow.metadata.split import SPLITS, fold
from mirflow.report import findings, relations, statistics
from mirflow.report.statistics import FEW
from mirflow.report.values import Library, declared

if TYPE_CHECKING:
    import pandas

VERSION = 1  # raise it when statistics.json says something else of the same library
COMMON_SHARE = 0.5  # of the tracks: keys that fewer have are not compared with all others at once
CARRIED = 0.95  # of the variance
SATURATED = 0.1  # saturation_ratio above which a track is called clipped
NARROW_BAND = 16_500.0  # Hz; MP3 at 128 kbit/s ends near 16 or 17 kHz
SILENT = 0.99  # stem_silence from which a stem is called silent
FEWEST_EQUAL = 4  # numbers with decimals that two tracks must have in common to be told to be the same by these


@dataclass(frozen=True)
class Captions:
    """What is asked of captions.

    Attributes
    ----------
    most_tokens : that a text encoder reads
    count : of the tokens of a text
    exact : whether they are counted, not estimated
    """

    most_tokens: int
    count: Callable[[str], int]
    exact: bool


def build(library: Library, captions: Captions, bandwidths: Mapping[str, float | None] | None = None) -> dict[str, Any]:
    """Return everything that statistics.json holds; docs/report.md describes it.

    Parameters
    ----------
    bandwidths : track id → where its spectrum ends, in Hz (see `mirflow.report.bandwidth`), as far as it was measured
    """
    numbers = library.numbers
    ranges = {key: field.range for key, (field, _) in declared().items() if field.range and key in numbers}
    content: dict[str, Any] = {
        "made_by": f"mirflow {__version__}",
        "version": VERSION,
        "library": _library(library),
        "findings": [],
        "keys": _keys(library, ranges),
        **_compared(library),
        "labels": {key: statistics.label_counts(found.values()) for key, found in sorted(library.labels.items())},
        "captions": _captions(library, captions),
        "duplicates": (groups := _duplicates(library)),
        "leaks": _leaks(library, groups),
        "quality": _quality(library, bandwidths or {}),
        "versions": _versions(library),
        "without": _without(library),
        "failed": library.failed,
        "tracks": _tracks(library),
    }
    content["findings"] = findings.find(content)
    return content


def write(path: str | PathLike, content: Mapping[str, Any]) -> None:
    """Write strict JSON atomically, a line for each part, and for each finding."""
    content = artifacts.to_json_values(content)

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def lines(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(text(one) for one in value) + "\n]"
        return text(value)

    parts = ",\n".join(f"{text(name)}:{lines(value)}" for name, value in content.items())
    artifacts.write_bytes(path, f"{{\n{parts}\n}}\n".encode(errors="replace"))


def _library(library: Library) -> dict[str, Any]:
    seconds = [found for track in library.tracks if (found := library.source(track).get("duration"))]
    splits = Counter(library.texts["split"].dropna()) if "split" in library.texts else {}
    read = len(library.tracks)
    return {
        "tracks": len(library.sources),
        "read": read,
        "failed": len(library.failed),
        "seconds": sum(seconds),
        "splits": {split: splits[split] for split in SPLITS if split in splits},
        "few": f"with fewer than {FEW} tracks, distributions and correlations mean nothing and make no findings"
        if read < FEW
        else None,
    }


def _keys(library: Library, ranges: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, Any]]:
    """Return what is to be said of each number and each text by itself."""
    found = {}
    described = statistics.describe(library.numbers, ranges)
    far = statistics.outliers(library.numbers)
    for key, one in described.items():
        missing = int(library.missing[key].sum())
        about = _about(key) | {"missing": missing, "null": len(library.tracks) - missing - one["count"]} | one
        about["outliers"] = far.get(key)
        found[key] = about
    for key in library.texts:
        values = library.texts[key].dropna()
        if key in declared():
            mode, count = Counter(values).most_common(1)[0] if len(values) else (None, 0)
            about = _about(key) | {"missing": 0, "null": len(library.tracks) - len(values), "count": len(values)}
            found[key] = about | ({"mode": mode, "mode_share": count / len(values)} if count else {})
    return found


def _about(key: str) -> dict[str, Any]:
    if key not in declared():
        return {"feature": None, "unit": None, "meaning": None, "undefined": None, "range": None, "bounds": None}
    field, feature = declared()[key]
    bounds = [None if abs(end) == float("inf") else end for end in field.bounds] if field.bounds else None
    return {
        "feature": feature,
        "unit": field.unit,
        "meaning": field.meaning,
        "undefined": field.undefined,
        "range": list(field.range) if field.range else None,
        "bounds": bounds,
    }


def _compared(library: Library) -> dict[str, Any]:
    """Return what is to be said of keys together: correlation, redundancy, principal components."""
    numbers = library.numbers
    varied = [key for key in numbers if numbers[key].nunique() > 1]
    numbers = numbers[varied]
    rho = statistics.correlation(numbers)
    order = statistics.order(rho)
    rho = rho.loc[order, order]
    groups = statistics.clusters(rho)
    dependent = [key for group in groups for key in group if key != _keep(group, numbers)]
    common = [key for key in varied if numbers[key].count() >= COMMON_SHARE * len(numbers)]
    r = statistics.correlation(numbers[common], "pearson")
    r = r.loc[(alike := statistics.comparable(r)), alike]
    shares = statistics.components(r)
    return {
        "correlation": {"keys": order, "rho": _matrix(rho)},
        "redundancy": {
            "clusters": [_cluster(group, rho, numbers) for group in groups],
            "relations": [{"keys": list(one.keys), "because": one.because} for one in relations.among(varied)],
            "inflation": _inflation(numbers, r, [key for key in alike if key not in dependent]),
            "dependent": _dependent(numbers, rho),
        },
        "components": {
            "keys": alike,
            "shares": shares,
            "carried": CARRIED,
            "count": statistics.carrying(shares, CARRIED) if len(numbers) >= FEW else None,
        },
    }


def _matrix(table: "pandas.DataFrame") -> list[list[float | None]]:
    return [[None if np.isnan(one) else round(float(one), 4) for one in row] for row in table.to_numpy()]


def _keep(group: list[str], numbers: "pandas.DataFrame") -> str:
    """Return which key of a cluster stands for it: the one with the fewest nulls, the first declared of several."""
    places = {key: place for place, key in enumerate(declared())}
    return min(group, key=lambda key: (-numbers[key].count(), places.get(key, len(places))))


def _cluster(group: list[str], rho: "pandas.DataFrame", numbers: "pandas.DataFrame") -> dict[str, Any]:
    pairs = np.abs(rho.loc[group, group].to_numpy()[np.triu_indices(len(group), 1)])
    strong = pairs[pairs > statistics.CORRELATED]
    return {
        "keys": group,
        "keep": _keep(group, numbers),
        "strongest": float(strong.max()),
        "weakest": float(strong.min()),
        "because": relations.explanation(group),
    }


def _inflation(numbers: "pandas.DataFrame", r: "pandas.DataFrame", keys: list[str]) -> dict[str, Any]:
    """Return the variance inflation of keys, of each cluster and each exact relation without one of them."""
    keys = relations.free(keys)
    known = numbers[keys].notna().to_numpy().astype(np.float32)
    tracks = int((known.T @ known).min()) if keys else 0
    if tracks < max(FEW, 2 * len(keys)):
        why = f"{len(keys)} keys need {max(FEW, 2 * len(keys))} tracks, and pairs of them have only {tracks}"
        return {"factors": None, "left_out": None, "why_not": why}
    r = r.loc[keys, keys]
    return {"factors": statistics.inflation(r, tracks), "left_out": statistics.left_out(r, tracks), "why_not": None}


def _dependent(numbers: "pandas.DataFrame", rho: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Return the pairs of keys that tell much of each other, though not by rank, the strongest first."""
    nats = statistics.information(numbers)
    entropy = np.diag(nats)
    found = []
    for one, key in enumerate(nats.columns):
        for two in range(one + 1, len(nats)):
            other = nats.columns[two]
            smaller = min(entropy[one], entropy[two])
            share = nats.iat[one, two] / smaller if smaller > np.log(2) else 0.0
            correlated = rho.at[key, other]
            if share > findings.DEPENDENT and not abs(correlated) > statistics.CORRELATED:
                found.append(
                    {
                        "keys": [key, other],
                        "nats": nats.iat[one, two],
                        "share": share,
                        "rho": None if np.isnan(correlated) else correlated,
                        "because": relations.explanation([key, other]),
                    }
                )
    return sorted(found, key=lambda pair: -pair["share"])


def _captions(library: Library, captions: Captions) -> dict[str, Any]:
    found = {}
    for key, texts in sorted(library.captions.items()):
        name = key.removeprefix("music_flamingo_")
        tokens, counted = {}, True
        for track, text in texts.items():
            described = ((library.origins[track].get("features") or {}).get("music_flamingo") or {}).get("texts") or {}
            known = (described.get(name) or {}).get("t5_tokens")
            counted = counted and (known is not None or captions.exact)
            tokens[track] = known if known is not None else captions.count(text)
        same: dict[str, list[str]] = {}
        for track, text in texts.items():
            same.setdefault(text, []).append(track)
        found[key] = {
            "count": len(texts),
            "counted": counted,
            "median_tokens": float(np.median(list(tokens.values()))),
            "too_long": {track: count for track, count in tokens.items() if count > captions.most_tokens},
            "identical": [{"text": text, "tracks": tracks} for text, tracks in same.items() if len(tracks) > 1],
        }
    return {"most_tokens": captions.most_tokens, "keys": found, "conflicts": library.conflicts}


def _duplicates(library: Library) -> list[dict[str, Any]]:
    """Return the groups of tracks that are the same recording: by fingerprint, by source, or by all their numbers."""
    found: dict[frozenset[str], dict[str, Any]] = {}

    def add(groups: Mapping[Any, list[str]], because: str, named: bool = False) -> None:
        for name, tracks in groups.items():
            if len(tracks) > 1:
                one = {"group": name if named else None, "tracks": tracks, "because": because}
                if not any(set(tracks) <= known for known in found):
                    found[frozenset(tracks)] = one

    by_group: dict[Any, list[str]] = {}
    for track, group in library.texts.get("duplicate_group", {}).items():
        if group is not None:
            by_group.setdefault(group, []).append(track)
    add(by_group, "duplicate_group: their fingerprints agree", named=True)
    by_source: dict[Any, list[str]] = {}
    for track in library.tracks:
        if digest := library.source(track).get("sha256"):
            by_source.setdefault(digest, []).append(track)
    add(by_source, "their source files are equal")
    by_numbers: dict[Any, list[str]] = {}
    varied = library.numbers.loc[:, library.numbers.nunique() > 1]
    for track, row in zip(library.tracks, varied.to_numpy(), strict=True):
        known = row[np.isfinite(row)]
        if len(known) >= len(row) / 2 and np.count_nonzero(known % 1) >= FEWEST_EQUAL:
            by_numbers.setdefault(hashlib.sha256(row.tobytes()).digest(), []).append(track)
    add(by_numbers, "all their numbers are equal")
    return list(found.values())


def _leaks(library: Library, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is in several splits and must not: recordings, and artists or albums where these stay together."""
    if "split" not in library.texts:
        return []
    split = library.texts["split"]
    units = [(f"the recording {findings.listed(group['tracks'])}", group["tracks"]) for group in groups]
    for what in ("artist", "album"):
        names: dict[str, list[str]] = {}
        for track, name in library.texts.get(f"track_metadata_{what}", {}).items():
            if name and _by(library, track) == what:
                names.setdefault(fold(name), []).append(track)
        units += [(f"the {what} {name}", tracks) for name, tracks in names.items()]
    found = []
    for what, tracks in units:
        splits: dict[str, list[str]] = {}
        for track in tracks:
            if split[track] is not None:
                splits.setdefault(split[track], []).append(track)
        if len(splits) > 1:
            found.append({"what": f"{what} is", "splits": splits})
    return found


def _by(library: Library, track: str) -> str:
    """Return what stays in one split: the rule by which a track's was drawn."""
    drawn = (library.origins[track].get("features") or {}).get("duplicates") or {}
    return (drawn.get("split") or {}).get("by", "artist")


def _quality(library: Library, bandwidths: Mapping[str, float | None]) -> dict[str, Any]:
    numbers = library.numbers
    saturated, silent = {}, {}
    if "saturation_ratio" in numbers:
        found = numbers["saturation_ratio"]
        saturated = found[found > SATURATED].sort_values(ascending=False).to_dict()
    for stem in STEMS:
        if (key := f"stem_silence_{stem}") in numbers:
            silent[stem] = numbers[key][numbers[key] >= SILENT].to_dict()
    return {
        "clipping": {"above": SATURATED, "tracks": saturated},
        "silent_stems": {"from": SILENT, "tracks": silent},
        "bandwidth": {
            "measured": len(bandwidths),
            "below": NARROW_BAND,
            "tracks": {
                track: {"hertz": end, "codec": library.source(track).get("codec")}
                for track, end in bandwidths.items()
                if end is not None and end < NARROW_BAND
            },
        },
    }


def _versions(library: Library) -> dict[str, dict[str, int]]:
    """Return feature → version → number of tracks."""
    found: dict[str, Counter] = {}
    for origin in library.origins.values():
        for feature, about in (origin.get("features") or {}).items():
            if isinstance(about, dict) and about.get("version") is not None:
                found.setdefault(feature, Counter())[str(about["version"])] += 1
    return {feature: dict(sorted(versions.items())) for feature, versions in sorted(found.items())}


def _without(library: Library) -> dict[str, list[str]]:
    """Return feature → tracks whose .INFO lacks keys of it, of features that other tracks have."""
    found: dict[str, set[str]] = {}
    for key in library.missing:
        if key in declared() and library.missing[key].any():
            tracks = library.missing.index[library.missing[key]]
            found.setdefault(declared()[key][1], set()).update(tracks)
    return {feature: sorted(tracks) for feature, tracks in sorted(found.items())}


def _tracks(library: Library) -> dict[str, Any]:
    """Return all numbers and short texts, by key in the order of the tracks."""
    columns = {key: [None if np.isnan(value) else value for value in library.numbers[key]] for key in library.numbers}
    return {
        "id": library.tracks,
        "source": [library.sources[track] for track in library.tracks],
        "seconds": [library.source(track).get("duration") for track in library.tracks],
        "numbers": columns,
        "texts": {key: library.texts[key].tolist() for key in library.texts},
        "labels": {
            key: [max(one, key=one.get) if (one := found.get(track)) else None for track in library.tracks]
            for key, found in sorted(library.labels.items())
        },
    }
