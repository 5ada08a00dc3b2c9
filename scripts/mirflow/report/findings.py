"""What to decide about a library: each finding with the keys and tracks, the measured values, and what to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from mirflow.report.statistics import FEW, INFLATED

SEVERITIES = ("error", "warning", "note")
CONSTANT_SHARE = 0.95  # of the values: one value in so many tracks is a constant
NARROW_SHARE = 0.02  # of the range: a smaller interquartile range uses next to nothing of it
CLIPPED_SHARE = 0.01  # of the values, what the proposed range clips as well
CLIPPED_TRACKS = 3  # at least
NULL_SHARE = 0.25  # of the tracks
DEPENDENT = 0.5  # mutual information over the smaller entropy
SHOWN = 5  # names in a sentence; all of them are in the lists


@dataclass(frozen=True)
class Finding:
    """Something to decide.

    Attributes
    ----------
    kind : what it is, one of the words in docs/report.md
    severity : one of `SEVERITIES`
    says : one sentence, what was found
    do : one sentence, what to do about it
    keys, tracks : that it is about, all of them
    values : what was measured, by name
    """

    kind: str
    severity: str
    says: str
    do: str
    keys: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


def find(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the findings of a library, the most severe first.

    Parameters
    ----------
    content : of statistics.json, all but the findings
    """
    always = (_failed, _missing, _mixed_versions, _duplicates, _leaks, _captions, _quality)
    with_enough = (_constant, _narrow, _clipped, _null, _redundant, _inflated, _dependent, _outliers)
    finders: Iterable[Callable[[Mapping[str, Any]], Iterator[Finding]]] = always
    if content["library"]["read"] >= FEW:
        finders = (*always, *with_enough)
    found = chain.from_iterable(finder(content) for finder in finders)
    return [asdict(one) for one in sorted(found, key=lambda one: SEVERITIES.index(one.severity))]


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence: the first ones, and how many others there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN} others" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _tracks(count: int) -> str:
    return f"{count} track" if count == 1 else f"{count} tracks"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _failed(content: Mapping[str, Any]) -> Iterator[Finding]:
    failed = content["failed"]
    if failed:
        reason = next(iter(failed.values()))
        yield Finding(
            "failed",
            "error",
            f"{_tracks(len(failed))} of {content['library']['tracks']} have no values: {listed(failed)} ({reason})",
            "`make run` tries them again; repair or remove the files that fail each time",
            tracks=list(failed),
            values={"reasons": failed},
        )


def _missing(content: Mapping[str, Any]) -> Iterator[Finding]:
    by_feature: dict[str, dict[str, int]] = {}
    for key, one in content["keys"].items():
        if one["feature"] and one["missing"]:
            by_feature.setdefault(one["feature"], {})[key] = one["missing"]
    for feature, keys in by_feature.items():
        without = content["without"].get(feature, [])
        yield Finding(
            "missing",
            "warning",
            f"{listed(keys)} of the feature {feature} are missing in {_tracks(max(keys.values()))}:"
            " these were made without the feature",
            "`make run` with the settings that you want for all tracks makes what is missing",
            keys=list(keys),
            tracks=without,
            values={"missing": keys},
        )


def _mixed_versions(content: Mapping[str, Any]) -> Iterator[Finding]:
    for feature, versions in content["versions"].items():
        if len(versions) > 1:
            said = ", ".join(f"{count} with version {version}" for version, count in versions.items())
            yield Finding(
                "mixed_versions",
                "warning",
                f"the feature {feature} was measured by several versions, whose values may differ: {said}",
                "`make run` measures the older ones again",
                keys=[key for key, one in content["keys"].items() if one["feature"] == feature],
                values={"versions": versions},
            )


def _duplicates(content: Mapping[str, Any]) -> Iterator[Finding]:
    for group in content["duplicates"]:
        yield Finding(
            "duplicate",
            "warning",
            f"{listed(group['tracks'])} are the same recording ({group['because']})",
            "keep one of them in the list of tracks (`only`), or the model learns it by heart",
            tracks=group["tracks"],
            values={"group": group["group"], "because": group["because"]},
        )


def _leaks(content: Mapping[str, Any]) -> Iterator[Finding]:
    for leak in content["leaks"]:
        splits = {split: listed(tracks) for split, tracks in leak["splits"].items()}
        said = "; ".join(f"{split}: {names}" for split, names in splits.items())
        yield Finding(
            "leak",
            "error",
            f"{leak['what']} in several splits, so the model is judged by what it was trained on ({said})",
            "`make run` draws the splits anew for the library as a whole; edited keys `split` must agree",
            tracks=[track for tracks in leak["splits"].values() for track in tracks],
            values={"splits": leak["splits"]},
        )


def _captions(content: Mapping[str, Any]) -> Iterator[Finding]:
    most = content["captions"]["most_tokens"]
    for key, one in content["captions"]["keys"].items():
        if one["too_long"]:
            how = "" if one["counted"] else " (estimated; `describe.tokenizer` counts them)"
            yield Finding(
                "long_caption",
                "note",
                f"{len(one['too_long'])} of {one['count']} texts of {key} have more than {most} tokens{how}",
                "exports drop what does not fit; ask for shorter texts (section `condense` of the prompts) or raise"
                " export.tokens if your encoder reads more",
                keys=[key],
                tracks=list(one["too_long"]),
                values={"tokens": one["too_long"], "most_tokens": most},
            )
        for text in one["identical"]:
            yield Finding(
                "identical_captions",
                "warning",
                f"{_tracks(len(text['tracks']))} have the same text in {key}: {listed(text['tracks'])}",
                "listen to these; leave the text out where it says nothing about the track",
                keys=[key],
                tracks=text["tracks"],
                values={"text": text["text"]},
            )
    conflicts = content["captions"]["conflicts"]
    if conflicts:
        example = next(iter(next(iter(conflicts.values())).values()))[0]
        yield Finding(
            "contradicting_captions",
            "warning",
            f"texts of {_tracks(len(conflicts))} contradict what was measured, for example {example}",
            "exports leave these sentences out; keep the texts out of your own training data",
            keys=sorted({f"music_flamingo_{name}" for found in conflicts.values() for name in found}),
            tracks=list(conflicts),
            values={"conflicts": conflicts},
        )


def _quality(content: Mapping[str, Any]) -> Iterator[Finding]:
    quality = content["quality"]
    if clipped := quality["clipping"]["tracks"]:
        yield Finding(
            "audio_clipping",
            "warning",
            f"{_tracks(len(clipped))} are clipped for more than {_percent(quality['clipping']['above'])} of their time:"
            f" {listed(clipped)}",
            "listen to these, and leave out those whose distortion is not meant",
            keys=["saturation_ratio"],
            tracks=list(clipped),
            values={"saturation_ratio": clipped},
        )
    band = quality["bandwidth"]
    if ends := {track: one["hertz"] for track, one in band["tracks"].items()}:
        said = listed(
            f"{track} ({hertz / 1000:g} kHz)" for track, hertz in sorted(ends.items(), key=lambda one: one[1])
        )
        yield Finding(
            "narrow_band",
            "note",
            f"the sound of {_tracks(len(ends))} ends below {band['below'] / 1000:g} kHz: {said}",
            "look for better sources: these are of a low bit rate or sampling rate, or made from such files",
            tracks=list(ends),
            values={"hertz": ends},
        )
    total = content["library"]["read"]
    for stem, silent in quality["silent_stems"]["tracks"].items():
        if len(silent) >= FEW and len(silent) > NULL_SHARE * total:
            yield Finding(
                "silent_stem",
                "note",
                f"the {stem} stem is silent or nearly so in {len(silent)} of {_tracks(total)}",
                f"leave these out when you train on {stem}; keys of this stem say little in this library",
                keys=[f"stem_silence_{stem}"],
                tracks=list(silent),
                values={"stem_silence": silent},
            )


def _constant(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, one in content["keys"].items():
        if one.get("mode_share", 0) >= CONSTANT_SHARE and one["count"] >= FEW:
            mode = one["mode"] if isinstance(one["mode"], str) else f"{one['mode']:.7g}"
            yield Finding(
                "constant",
                "warning",
                f"{key} is {mode} in {_percent(one['mode_share'])} of the tracks",
                "leave it out of the numbers to condition on (export.numbers): nothing can be learned from it",
                keys=[key],
                values={name: one[name] for name in ("mode", "mode_share", "count")},
            )


def _narrow(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, one in content["keys"].items():
        if one.get("mode_share", 1) < CONSTANT_SHARE and one["count"] >= FEW and one["range"] and _is_narrow(one):
            low, high = one["range"]
            yield Finding(
                "narrow",
                "warning",
                f"half of the values of {key} lie within {one['iqr']:.3g}, which is"
                f" {_percent(one['iqr'] / (high - low))} of its range {low:g} to {high:g}",
                f"use the range {one['p0_5']:.4g} to {one['p99_5']:.4g} (export.ranges: percentiles)",
                keys=[key],
                values={name: one[name] for name in ("iqr", "range", "p0_5", "p99_5")},
            )


def _is_narrow(one: Mapping[str, Any]) -> bool:
    """Whether most of the range is not used; of a key that is only yes or no that says nothing."""
    return one["distinct"] > 2 and one["iqr"] < NARROW_SHARE * (one["range"][1] - one["range"][0])


def _clipped(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, one in content["keys"].items():
        if not one["range"] or one["count"] < FEW:
            continue
        clipped = one["clipped_below"] + one["clipped_above"]
        if clipped >= CLIPPED_TRACKS and clipped > CLIPPED_SHARE * one["count"]:
            low, high = one["range"]
            yield Finding(
                "clipped",
                "warning",
                f"{_percent(clipped / one['count'])} of the values of {key} lie outside of its range {low:g} to"
                f" {high:g} and are clipped there",
                f"use the range {one['p0_5']:.4g} to {one['p99_5']:.4g} (export.ranges: percentiles)",
                keys=[key],
                values={name: one[name] for name in ("clipped_below", "clipped_above", "range", "p0_5", "p99_5")},
            )


def _null(content: Mapping[str, Any]) -> Iterator[Finding]:
    by_feature: dict[str, dict[str, float]] = {}
    for key, one in content["keys"].items():
        present = content["library"]["read"] - one["missing"]
        if one["feature"] and present >= FEW and one["null"] > NULL_SHARE * present:
            by_feature.setdefault(one["feature"], {})[key] = one["null"] / present
    for feature, keys in by_feature.items():
        lowest, highest = min(keys.values()), max(keys.values())
        share = _percent(lowest) if lowest == highest else f"{_percent(lowest)} to {_percent(highest)}"
        why = content["keys"][max(keys, key=keys.get)]["undefined"] or "unknown"
        yield Finding(
            "null",
            "note",
            f"{listed(keys)} of the feature {feature} are null in {share} of the tracks (when {why})",
            "leave them out of export.numbers, or keep export.nulls: median, which tells the model when a value is"
            " not known",
            keys=list(keys),
            values={"null_share": keys},
        )


def _redundant(content: Mapping[str, Any]) -> Iterator[Finding]:
    for cluster in content["redundancy"]["clusters"]:
        why = f"; {cluster['because']}" if cluster["because"] else ""
        yield Finding(
            "redundant",
            "warning",
            f"{listed(cluster['keys'])} rank the tracks alike (|rho| {cluster['weakest']:.2f} to"
            f" {cluster['strongest']:.2f}{why})",
            f"condition on one of them, such as {cluster['keep']}",
            keys=cluster["keys"],
            values={name: cluster[name] for name in ("strongest", "weakest", "keep", "because")},
        )


def _inflated(content: Mapping[str, Any]) -> Iterator[Finding]:
    inflation = content["redundancy"]["inflation"]
    high = {key: factor for key, factor in (inflation["factors"] or {}).items() if factor > INFLATED}
    if high:
        high = dict(sorted(high.items(), key=lambda pair: -pair[1]))
        out = inflation["left_out"]
        yield Finding(
            "inflated",
            "note",
            f"{listed(high)} can be predicted from the other numbers (variance inflation above {INFLATED:g})",
            f"leaving out {listed(out)} is enough to be rid of that",
            keys=list(high),
            values={"inflation": high, "left_out": out},
        )


def _dependent(content: Mapping[str, Any]) -> Iterator[Finding]:
    for pair in content["redundancy"]["dependent"]:
        one, two = pair["keys"]
        why = f"; {pair['because']}" if pair["because"] else ""
        yield Finding(
            "dependent",
            "note",
            f"{one} and {two} tell much of each other, though not by rank (mutual information {pair['nats']:.2f} nats,"
            f" {_percent(pair['share'])} of what one of them says; rho {pair['rho']:.2f}{why})",
            "one of them may be enough",
            keys=[one, two],
            values=dict(pair),
        )


def _outliers(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, one in content["keys"].items():
        if one.get("outliers"):
            found = one["outliers"]
            said = listed(f"{track} ({value:.5g}, z {z:.1f})" for track, value, z in found)
            yield Finding(
                "outlier",
                "warning",
                f"{key} of {said} is far from all others (median {one['median']:.5g}, MAD {one['mad']:.3g})",
                "listen to it: a wrong file or measurement is to be left out, an unusual piece may stay",
                keys=[key],
                tracks=[track for track, _, _ in found],
                values={"outliers": found, "median": one["median"], "mad": one["mad"]},
            )
