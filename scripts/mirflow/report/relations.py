"""Keys that depend on each other by what they are: their correlation is no news, and says nothing of a library."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mirflow.core.layout import STEMS

PITCH_CLASSES = range(12)


@dataclass(frozen=True)
class Relation:
    """A known relation.

    Attributes
    ----------
    keys : that it is about
    because : in words
    exact : whether all but one of the keys determine the last one linearly
    """

    keys: tuple[str, ...]
    because: str
    exact: bool = False


RELATIONS = (
    Relation(tuple(f"chroma_{index}" for index in PITCH_CLASSES), "the 12 shares of the chroma sum to 1", exact=True),
    Relation(
        (*(f"hpcp_{index}" for index in PITCH_CLASSES), *(f"tiv_{index}" for index in range(11))),
        "the tonal interval vector is computed from the HPCP",
    ),
    Relation(
        (*(f"chroma_{index}" for index in PITCH_CLASSES), *(f"hpcp_{index}" for index in PITCH_CLASSES)),
        "chroma and HPCP are two profiles of the same pitch classes",
    ),
    *(
        Relation((f"lufs_{stem}", f"stem_rms_{stem}", f"stem_peak_{stem}"), f"all are levels of the {stem} stem")
        for stem in STEMS
    ),
    Relation(("lufs", "true_peak", "rms_energy_bass", "rms_energy_body", "rms_energy_mid", "rms_energy_air"),
             "all are levels of the mix"),
    Relation(("onset_density", "ioi_mean", "ioi_std"), "more onsets in a second have shorter intervals"),
    Relation(("onset_count", "beat_count"), "both grow with the duration of a track"),
    Relation(("bpm", "bpm_essentia", "bpm_tempocnn", "track_metadata_bpm"), "all are the tempo, by several methods"),
    Relation(("release_year", "track_metadata_year"), "both are the year of the release"),
    Relation(("saturation_ratio", "saturation_count"), "both measure the same passages"),
)  # fmt: skip


def among(keys: Collection[str]) -> Iterator[Relation]:
    """Yield the known relations that hold between at least two of these keys."""
    for relation in RELATIONS:
        if len(set(keys) & set(relation.keys)) > 1:
            yield relation


def explanation(keys: Collection[str]) -> str:
    """Return why these keys depend on each other, "" where nothing is known that is about all of them."""
    return next((one.because for one in among(keys) if set(keys) <= set(one.keys)), "")


def free(keys: Collection[str]) -> list[str]:
    """Return the keys without the last one of each exact relation that is there as a whole: the others determine it."""
    bound = {one.keys[-1] for one in RELATIONS if one.exact and set(one.keys) <= set(keys)}
    return [key for key in keys if key not in bound]
