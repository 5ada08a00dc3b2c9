"""The ``.INFO`` of each crop: what was measured on it, what it inherits from its track, and what others have put in."""

from typing import Any

from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE, Field
from mirflow.crops import measure
from mirflow.crops.plan import Crop

VERSION = 1  # raise it when other content comes out of the same values
INHERITED = "inherited"  # in the provenance: the keys that are the track's

FIELDS = (
    Field("position_in_file", "ratio", bounds=(0, 1), range=(0, 1), meaning="start over the length of the track"),
    Field("start_sample", "samples", bounds=(0, float("inf")), meaning="start in full_mix.flac", kind=int),
    Field("end_sample", "samples", bounds=(0, float("inf")), kind=int,
          meaning="end in full_mix.flac; this sample is not part of the crop"),
    Field("valid_samples", "samples", bounds=(0, float("inf")), kind=int,
          meaning="samples of the file that are music; the rest, at its end, is padding"),
    Field("start_time", "s", bounds=(0, float("inf")), meaning="start in the track"),
    Field("end_time", "s", bounds=(0, float("inf")), meaning="end in the track"),
    Field("track_duration", "s", bounds=(0, float("inf")), meaning="length of the track"),
    Field("bars", "count", bounds=(0, float("inf")), meaning="whole bars in the crop", kind=int,
          undefined="the track has no downbeats"),
    Field("aligned", "0 or 1", bounds=(0, 1), meaning="1 if the crop starts on a downbeat", kind=int),
    Field("bpm_track", "1/min", bounds=(0, float("inf")), range=(40, 300), meaning="bpm of the track",
          undefined="bpm of the track is null"),
    Field("source_track", "name", meaning="id of the track", kind=str),
    Field("split", "name", meaning="split of the track", undefined="the track has none", kind=str),
)  # fmt: skip
OWN = tuple(field.key for field in FIELDS)
RECORDS = ("source", "stems", "beats", "crop")  # in the provenance, what steps before say of themselves
FROM_TRACK = ("bpm_track", "split")  # of `OWN`, those that are values of the track


def place(crop: Crop, rate: int, total: int, track: str) -> dict[str, Any]:
    """Return the keys of a crop that say where it lies.

    Parameters
    ----------
    rate : Hz, of the track
    total : samples of the track
    track : its id
    """
    return {
        "position_in_file": crop.start / total,
        "start_sample": crop.start,
        "end_sample": crop.end,
        "valid_samples": crop.valid,
        "start_time": crop.start / rate,
        "end_time": crop.end / rate,
        "track_duration": total / rate,
        "bars": crop.bars,
        "aligned": int(crop.aligned),
        "source_track": track,
    }


def inherited(track: dict[str, Any]) -> dict[str, Any]:
    """Return what a crop inherits from the ``.INFO`` of its track: all but what is measured on the crop itself."""
    return {key: value for key, value in track.items() if key not in {*_measurable(), *OWN, PROVENANCE}}


def theirs(existing: dict[str, Any]) -> dict[str, Any]:
    """Return those keys of a crop's ``.INFO`` that belong to other people, ``_provenance`` with what they put in there.

    Raises
    ------
    MirflowError : ``_provenance`` is not an object, or one of its parts has another form than here
    """
    provenance = existing.get(PROVENANCE, {})
    if not isinstance(provenance, dict) or not isinstance(provenance.get(INHERITED, []), list):
        raise MirflowError(f"{PROVENANCE} has another form than mirflow writes")
    if not isinstance(provenance.get("features", {}), dict):
        raise MirflowError(f"{PROVENANCE}.features is not an object")
    ours = {*_measurable(), *OWN, PROVENANCE, *provenance.get(INHERITED, [])}
    found = {key: value for key, value in existing.items() if key not in ours}
    others = {key: value for key, value in provenance.items() if key not in (*RECORDS, INHERITED, "features")}
    return found | ({PROVENANCE: others} if others else {})


def merge(
    existing: dict[str, Any],
    *,
    own: dict[str, Any],
    fragments: list[dict[str, Any]],
    track: dict[str, Any],
    records: dict[str, Any],
) -> dict[str, Any]:
    """Return the new content of a crop's ``.INFO``.

    Its order depends on the keys alone: where the crop lies, what was measured, what is inherited, other people's keys
    in their old order, ``_provenance``.

    Parameters
    ----------
    existing : what the file holds now. Other people's keys are kept, and so are values of features that are skipped now
    own : where the crop lies, from `place`
    fragments : of all features that were measured on it, each with its ``_provenance``
    track : the ``.INFO`` of the track
    records : what the other steps say of themselves, by name; of `RECORDS`

    Raises
    ------
    MirflowError : the existing ``_provenance`` has another form than mirflow writes
    """
    kept = theirs(existing)
    others = kept.pop(PROVENANCE, {})
    of_track = {key: value for key, value in inherited(track).items() if key not in kept}
    values, origins = dict(existing), {}
    for fragment in fragments:
        origin = dict(fragment[PROVENANCE])
        origins[origin.pop("feature")] = origin
        values |= fragment
    ordered = {key: values[key] for key in _measurable() if key in values}
    known = [content.get(PROVENANCE, {}).get("features", {}) for content in (track, existing)]
    measurable = {feature.name for feature in features.of_modules() if measure.is_measured(feature)}
    made = {name: origin for name, origin in known[0].items() if name not in measurable}
    made |= {name: origin for name, origin in known[1].items() if name in measurable} | origins
    provenance = {
        **records,
        INHERITED: sorted([*of_track, *FROM_TRACK]),
        **others,
        "features": dict(sorted(made.items())),
    }
    own = own | {"bpm_track": track.get("bpm"), "split": track.get("split")}
    return {key: own[key] for key in OWN} | ordered | of_track | kept | {PROVENANCE: provenance}


def _measurable() -> list[str]:
    """Return the keys of all features that are measured on crops, skipped ones too."""
    return [field.key for one in features.of_modules() if measure.is_measured(one) for field in one.fields]
