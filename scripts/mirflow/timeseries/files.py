"""The file of a track's time series, and exact means of what it holds over the frames of any other rate."""

import json
import zipfile
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError

RATE = 100.0  # frames/s
META = "__meta__"  # the member of the file that says what the others are: a text, JSON


@dataclass(frozen=True)
class Series:
    """One time series, which is constant within each of its frames.

    Attributes
    ----------
    values : float32 [..., frame]: the mean over each frame. Frame i lasts from i to i + 1, over `rate`
    unit, source : what is measured, and on what
    silence : the value where there is no sound: before the start of the track and after its end
    rate : frames/s
    """

    values: np.ndarray
    unit: str
    source: str
    silence: float = 0.0
    rate: float = RATE


def means(
    values: np.ndarray, edges: np.ndarray, *, rate: float = RATE, begin: float = 0.0, silence: float | None = None
) -> np.ndarray:
    """Return the exact mean of a piecewise constant function between consecutive times.

    Parameters
    ----------
    values : [..., frame]; frame k lasts from ``begin + k / rate`` to ``begin + (k + 1) / rate``
    edges : seconds, strictly ascending [n + 1]
    rate : frames/s
    begin : seconds
    silence : value before the first and after the last frame; None: that of the first and of the last frame

    Returns
    -------
    float64 [..., n]
    """
    values = np.asarray(values, dtype=np.float64)
    *others, count = values.shape
    if not count:
        return np.full((*others, len(edges) - 1), 0.0 if silence is None else silence)
    integral = np.concatenate([np.zeros((*others, 1)), np.cumsum(values, axis=-1)], axis=-1)
    place = (edges - begin) * rate
    inside = np.clip(place, 0, count)
    frame = np.minimum(inside.astype(np.int64), count - 1)
    area = integral[..., frame] + (inside - frame) * values[..., frame]
    before, after = (values[..., :1], values[..., -1:]) if silence is None else (silence, silence)
    area = area + np.minimum(place, 0) * before + np.maximum(place - count, 0) * after
    return np.diff(area) / np.diff(place)


def write(path: str | PathLike, series: dict[str, Series], duration: float) -> None:
    """Write time series as an ``.npz`` file, atomically. Equal series give equal bytes.

    Parameters
    ----------
    duration : of the track in seconds
    """
    fields = {
        name: {key: value for key, value in asdict(one).items() if key != "values"}
        | {"shape": list(one.values.shape), "frames": one.values.shape[-1]}
        for name, one in series.items()
    }
    frames = int(np.ceil(round(duration * RATE, 6)))
    meta = {"rate": RATE, "frames": frames, "duration": duration, "fields": fields}
    arrays = {name: np.ascontiguousarray(one.values, dtype=np.float32) for name, one in series.items()}
    text = json.dumps(artifacts.to_json_values(meta), ensure_ascii=True)
    artifacts.write_arrays(path, {**arrays, META: np.array(text)})


def load(path: str | PathLike) -> tuple[dict[str, Series], dict[str, Any]]:
    """Read a file that `write` wrote.

    Returns
    -------
    the series by name; the content of ``__meta__``

    Raises
    ------
    MirflowError : the file holds no time series; the message names it
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            meta = json.loads(str(stored[META]))
            series = {
                name: Series(stored[name], about["unit"], about["source"], about["silence"], about["rate"])
                for name, about in meta["fields"].items()
            }
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise MirflowError(f"{path}: not time series ({error})") from error
    return series, meta


def read(
    path: str | PathLike, rate: float = RATE, start: float = 0.0, frames: int | None = None
) -> dict[str, np.ndarray]:
    """Return the exact means of all time series over the frames of another rate, such as that of latents.

    An autoencoder that makes one latent of 2048 samples at 44.1 kHz has the rate 44100 / 2048 = 21.533 Hz.

    Parameters
    ----------
    path : a ``.TIMESERIES.npz`` file
    rate : frames/s
    start : of the first frame in seconds; that of a crop, for example
    frames : how many; None: up to the end of the track

    Returns
    -------
    name → float32 [..., frames]. Frame i is the mean from ``start + i / rate`` to ``start + (i + 1) / rate``. Outside
    of the track a series has its value for silence

    Raises
    ------
    MirflowError : the file holds no time series
    ValueError : the rate is not positive
    """
    if not rate > 0:
        raise ValueError(f"rate must be positive, got {rate}")
    series, meta = load(path)
    if frames is None:
        frames = max(0, int(np.ceil(round((meta["duration"] - start) * rate, 6))))
    edges = start + np.arange(frames + 1) / rate
    return {
        name: means(one.values, edges, rate=one.rate, silence=one.silence).astype(np.float32)
        for name, one in series.items()
    }


def cut(path: str | PathLike, start: float, duration: float) -> dict[str, Series]:
    """Return the part of the time series of a file between two times: exact means over frames that begin at `start`.

    Parameters
    ----------
    start, duration : seconds
    """
    series, _ = load(path)
    found = {}
    for name, one in series.items():
        count = int(np.ceil(round(duration * one.rate, 6)))
        edges = start + np.minimum(np.arange(count + 1) / one.rate, duration)
        values = means(one.values, edges, rate=one.rate, silence=one.silence).astype(np.float32)
        found[name] = Series(values, one.unit, one.source, one.silence, one.rate)
    return found
