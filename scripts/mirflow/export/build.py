"""Building an export: which items it has, their sounds, numbers and prompts, and what is said of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mirflow import __version__
from mirflow.core.errors import MirflowError
from mirflow.export import items, numbers, prompts, tree
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS, Excluded, Item
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.tree import Tree


@dataclass(frozen=True)
class Row:
    """An item as it is exported.

    Attributes
    ----------
    item : what is known of it
    file : its sound, below the root of the tree
    frames, valid : of that sound; of these the ones that hold music
    gain_db : by how much the sound was attenuated, 0 where it was not
    numbers : id of a conditioner → value
    prompts : at least one
    """

    item: Item
    file: str
    frames: int
    valid: int
    gain_db: float
    numbers: dict[str, float]
    prompts: list[str]


class Target(Protocol):
    """What a module of `mirflow.export.targets` has.

    Attributes
    ----------
    VERSION : rises when other files come out
    FORM : of the sounds
    APART : kinds of parts of a prompt (see `prompts.IMPORTANCE`) that have a field of their own, and are not repeated
    """

    VERSION: int
    FORM: Form
    APART: tuple[str, ...]

    def longest(self, settings: Settings) -> float:
        """Return how many seconds of an item the trainer takes as a whole, 0 without a limit."""

    def write(self, made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
        """Write what the trainer reads beside the sounds, and a README.md, into a tree."""


def build(
    name: str,
    target: Target,
    results: str,
    tracks: Sequence[str],
    failed: Mapping[str, str],
    settings: Settings,
    place: Path,
    tokenizer: Path | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Build an export.

    Parameters
    ----------
    name, target : of the trainer
    results, tracks, failed : see `items.gather`
    place : the directory of the export
    tokenizer : T5's tokenizer.json, to count tokens with
    threads : sounds that are converted at once

    Returns
    -------
    what the file export.json holds

    Raises
    ------
    MirflowError : nothing can be exported, or the directory cannot be written or holds other files
    """
    tree.check(place)
    count = prompts.counter(tokenizer)
    found, excluded = items.gather(results, tracks, failed, settings)
    planned = len(found) + len(excluded)
    found, late = _of_fitting_length(found, target, settings)
    excluded += late
    _check_any(found, excluded)
    fields = numbers.wanted(found, settings)
    found, late = numbers.admit(found, fields)
    excluded += late
    if settings.nulls == "reject":
        found, late = numbers.reject(found, numbers.choose(found, fields, settings))
        excluded += late
    _check_any(found, excluded)
    with tree.written(place) as made:
        sounds, late = _sounds(made, found, target, settings, threads)
        excluded += late
        found = [item for item in found if item in sounds]
        _check_any(found, excluded)
        choice = numbers.choose(found, fields, settings)
        rows = [
            Row(
                item,
                _file(item),
                target.FORM.frames(item),
                min(target.FORM.frames(item), round(item.valid * target.FORM.rate / item.rate)),
                sounds[item],
                choice.numbers(item),
                prompts.make(item, settings, count, target.APART),
            )
            for item in found
        ]
        target.write(made, rows, choice, settings)
        excluded.sort(key=lambda one: (one.track, one.crop or 0))
        report = _report(name, made, rows, excluded, planned, choice, settings)
        report["artists_in_several_splits"] = items.shared_artists(found)
        made.write("items.tsv", "".join(["name\ttrack\tcrop\tsplit\tstart_seconds\tseconds\n", *map(_listed, rows)]))
        lines = [f"{one.track}\t{'' if one.crop is None else one.crop}\t{one.reason}\n" for one in excluded]
        made.write("excluded.tsv", "".join(["track\tcrop\treason\n", *lines]))
        made.write_json(tree.REPORT, report)
    return report


def _check_any(found: Sequence[Item], excluded: Sequence[Excluded]) -> None:
    if not any(item.split == SPLITS[0] for item in found):
        reasons = Counter(one.reason for one in excluded).most_common(1)
        why = f"; the most frequent reason: {reasons[0][0]}" if reasons else ""
        raise MirflowError(f"nothing to export: no item for the split train ({len(excluded)} excluded{why})")


def _of_fitting_length(found: Sequence[Item], target: Target, settings: Settings) -> tuple[list[Item], list[Excluded]]:
    """Separate the items that the trainer takes whole from those that are too long or too short."""
    longest = settings.max_seconds or target.longest(settings)
    good, bad = [], []
    for item in found:
        if longest and item.seconds > longest:
            reason = f"{item.seconds:.1f} s long, which is more than {longest:g} s (make crops, or export.max_seconds)"
            bad.append(Excluded(item.track, item.crop, reason))
        elif not target.FORM.frames(item):
            bad.append(Excluded(item.track, item.crop, f"shorter than {target.FORM.multiple} samples"))
        else:
            good.append(item)
    return good, bad


def _file(item: Item) -> str:
    return f"{item.split}/{item.name}.flac"


def _sounds(
    made: Tree, found: Sequence[Item], target: Target, settings: Settings, threads: int
) -> tuple[dict[Item, float], list[Excluded]]:
    """Put the sounds of all items into the tree; return the gain of each, and those that cannot be read."""
    import soundfile

    names = Counter(item.name for item in found)
    if (most := names.most_common(1)) and most[0][1] > 1:
        raise MirflowError(f"two items would have the name {most[0][0]}")

    def put(item: Item) -> float | Excluded:
        try:
            return made.put_sound(item, _file(item), target.FORM, settings.copy)
        except soundfile.LibsndfileError as error:
            (made.root / _file(item)).unlink(missing_ok=True)
            return Excluded(item.track, item.crop, f"{item.sound}: cannot be read as audio ({error})")

    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = list(zip(found, pool.map(put, found), strict=True))
    return (
        {item: gain for item, gain in done if not isinstance(gain, Excluded)},
        [one for _, one in done if isinstance(one, Excluded)],
    )


def _listed(row: Row) -> str:
    """Return which track an item is, as a line of items.tsv."""
    item = row.item
    crop = "" if item.crop is None else item.crop
    return f"{item.name}\t{item.track}\t{crop}\t{item.split}\t{item.start:.6f}\t{item.seconds:.6f}\n"


def _report(
    name: str,
    made: Tree,
    rows: Sequence[Row],
    excluded: Sequence[Excluded],
    planned: int,
    choice: Choice,
    settings: Settings,
) -> dict[str, Any]:
    """Return what there is to say about an export."""
    splits = Counter(row.item.split for row in rows)
    return {
        "target": name,
        "made_by": f"mirflow {__version__}",
        "place": str(made.place),
        "planned": planned,
        "items": len(rows),
        "excluded": len(excluded),
        "splits": {split: splits[split] for split in SPLITS if splits[split]},
        "seconds": round(sum(row.item.seconds for row in rows), 3),
        "without_words": sum(row.prompts == [prompts.NOTHING_KNOWN] for row in rows),
        "numbers": {key: list(span) for key, span in choice.conditioners.items()},
        "medians": {column.key: column.median for column in choice.columns if column.flagged},
        "dropped": choice.dropped,
        "clipped": {key: round(share, 4) for key, share in choice.clipped.items()},
        "narrow": {key: round(share, 4) for key, share in choice.narrow.items()},
        "settings": {key: value for key, value in asdict(settings).items()},
        "with_paths": made.with_paths,
    }


def summary(report: Mapping[str, Any]) -> str:
    """Return in one line what was exported."""
    splits = ", ".join(f"{count} {split}" for split, count in report["splits"].items())
    shared = len(report.get("artists_in_several_splits", ()))
    warning = f"; {shared} artist{'s are' if shared > 1 else ' is'} in several splits" if shared else ""
    return (
        f"mirflow: export {report['target']}: {report['items']} items + {report['excluded']} excluded ="
        f" {report['planned']} planned; {splits}{warning}; in {report['place']}"
    )
