"""The numbers of a track's crops: measured on each crop by the same functions that measure whole tracks."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mirflow import features
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE, Feature
from mirflow.core.layout import GRIDS, STEMS
from mirflow.crops import files
from mirflow.crops.plan import Crop

VERSION = 2  # raise it when other values come out of the same functions, or in another form
SOUNDS = ("full_mix", *STEMS)
CUT = (*SOUNDS, *GRIDS, "drum_notes")  # the inputs of features that can be cut; a feature with another one is inherited


def is_measured(feature: Feature) -> bool:
    """Return whether a feature is measured on each crop. What a trained model says of a track is inherited."""
    return not feature.models and set(feature.inputs) <= set(CUT)


def chosen(config: dict[str, Any]) -> tuple[Feature, ...]:
    """Return the features that a run with these settings measures on crops."""
    return tuple(feature for feature in features.wanted(config) if is_measured(feature))


def measure(
    names: list[str], crops: list[Crop], inputs: Mapping[str, Any], settings: Mapping[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Measure features on all crops of a track.

    Parameters
    ----------
    names : of the features
    inputs : of the track: an `Audio` for the full mix and the stems, times in seconds for grids
    settings : feature → its settings, where they differ from the default

    Returns
    -------
    feature → its fragment of each crop: its values, and ``_provenance``

    Raises
    ------
    MirflowError : a feature failed; the message says which, and on which crop
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for index, crop in enumerate(crops):
        of_crop = dict(_cut(inputs, crop))
        for name in names:
            try:
                fragment = features.fragment(name, _fresh(of_crop), settings.get(name))
            except (MirflowError, ValueError) as error:
                raise MirflowError(f"crop {index}: {name}: {error}") from error
            kept = {key: value for key, value in fragment.items() if key == PROVENANCE or not key.startswith("_")}
            found[name].append(kept)
    return found


def _fresh(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs without what an earlier feature has asked of them: their fragments name only what each asked."""
    return {name: replace(value) if isinstance(value, Audio) else value for name, value in inputs.items()}


def _cut(inputs: Mapping[str, Any], crop: Crop) -> Iterator[tuple[str, Any]]:
    mix: Audio = inputs["full_mix"]
    for name, value in inputs.items():
        if name in GRIDS:
            yield name, files.cut_times(value, crop, mix.rate)
        elif name == "drum_notes":
            yield name, files.cut_notes(value, crop, mix.rate)
        else:
            part = files.cut(value, crop, mix.rate, mix.samples.shape[1])
            yield name, replace(part, samples=np.ascontiguousarray(part.samples))
