"""The folder of a track's crops: which files in it are ours, what an earlier plan has left, whose keys must be kept."""

import re
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.layout import GRIDS, SERIES, STEMS, TrackFiles
from mirflow.crops import info
from mirflow.crops.plan import Crop

# What other people have put into the .INFO of crops that are no longer there, with the place of each in the track.
KEPT = "others_keys.json"


def listed(content: dict[str, Any]) -> list[Crop]:
    """Return the crops that ``crops.json`` lists."""
    return [
        Crop(one["start_sample"], one["end_sample"], one["file_samples"], one["bars"], one["aligned"])
        for one in content["crops"]
    ]


def withdraw(track: TrackFiles, crops: list[Crop]) -> None:
    """Take away the ``.INFO`` files that describe other music than the crop with the same number does now.

    What other people have put into them goes to the file `KEPT`, and from there to a crop at the same place, should
    there be one again (see `kept`).

    Raises
    ------
    MirflowError : an ``.INFO`` is damaged; nothing was changed
    """
    wanted = {Path(track.crop(index, "INFO")): _span(crop) for index, crop in enumerate(crops)}
    leaving = {}
    for path in _ours(track):
        if path.suffix == ".INFO":
            content = artifacts.read_json(path)
            span = content.get("start_sample"), content.get("end_sample")
            if wanted.get(path) != span:
                try:
                    leaving[path] = span, info.theirs(content)
                except MirflowError as error:
                    raise MirflowError(f"{path}: {error}") from error
    store = _read(track)
    for span, keys in leaving.values():
        if keys:
            store[span] = store.get(span, {}) | keys
    if any(keys for _, keys in leaving.values()):
        _write(track, store)
    for path in leaving:
        path.unlink()


def kept(track: TrackFiles, crop: Crop) -> dict[str, Any]:
    """Return what other people had put into the ``.INFO`` of an earlier crop at this place."""
    return _read(track).get(_span(crop), {})


def restored(track: TrackFiles, crops: list[Crop]) -> None:
    """Forget what was kept for these crops: it is in their ``.INFO`` again."""
    store = _read(track)
    spans = {_span(crop) for crop in crops}
    if spans & set(store):
        _write(track, {span: keys for span, keys in store.items() if span not in spans})


def remove_others(track: TrackFiles, crops: list[Crop], *, stems: bool, series: bool) -> None:
    """Remove the files of an earlier plan that this one does not have. Files of other people stay.

    Parameters
    ----------
    stems, series : whether the crops have stems and time series
    """
    numbers = range(len(crops))
    suffixes = ("flac", "INFO", "INFO.lock", *GRIDS.values(), *([SERIES] if series else []))
    wanted = {Path(track.crop(index, suffix)) for index in numbers for suffix in suffixes}
    wanted |= {Path(track.crop_stem(index, stem)) for index in numbers for stem in STEMS if stems}
    for path in _ours(track):
        if path not in wanted:
            path.unlink(missing_ok=True)


def _ours(track: TrackFiles) -> list[Path]:
    """Return the files of crops of any plan of this track, by their names."""
    one, stem = Path(track.crop(0)), Path(track.crop_stem(0, "drums"))
    begin = re.escape(one.name.removesuffix("0.flac"))
    names = {
        one.parent: rf"{begin}\d+\.(flac|INFO|INFO\.lock|{'|'.join((*GRIDS.values(), re.escape(SERIES)))})",
        stem.parent: rf"{begin}\d+\.({'|'.join(STEMS)})\.flac",
    }
    return sorted(
        path
        for folder, name in names.items()
        if folder.is_dir()
        for path in folder.iterdir()
        if re.fullmatch(name, path.name)
    )


def _span(crop: Crop) -> tuple[Any, Any]:
    return crop.start, crop.end


def _store(track: TrackFiles) -> Path:
    return Path(track.crops).with_name(KEPT)


def _read(track: TrackFiles) -> dict[tuple[Any, Any], dict[str, Any]]:
    path = _store(track)
    if not path.exists():
        return {}
    try:
        return {(part["start_sample"], part["end_sample"]): part["keys"] for part in artifacts.read_json(path)["kept"]}
    except (KeyError, TypeError) as error:
        raise MirflowError(f"{path}: has another form than mirflow writes ({error})") from error


def _write(track: TrackFiles, store: dict[tuple[Any, Any], dict[str, Any]]) -> None:
    parts = [{"start_sample": start, "end_sample": end, "keys": keys} for (start, end), keys in store.items()]
    if parts:
        artifacts.write_bytes(_store(track), artifacts.json_bytes({"kept": parts}))
    else:
        _store(track).unlink(missing_ok=True)
