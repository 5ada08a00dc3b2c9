"""Beats and downbeats: activations from audio (backend `dsp`), and the decoder that turns any activations into a grid."""

import io
import zipfile
from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from mirflow import artifacts, audio
from mirflow.audio import Audio
from mirflow.dsp import beat_onsets, beat_tempo
from mirflow.errors import MirflowError

FLOOR = 0.01  # activations are never surer than this of the absence of a beat, nor than 1 - FLOOR of its presence


@dataclass(frozen=True)
class Activations:
    """What a backend says about each frame; frame k is at k / frame_rate seconds.

    Attributes
    ----------
    beat : float32 [frame] in [0, 1], probability of a beat, downbeats included
    downbeat : float32 [frame] in [0, 1], probability of a downbeat
    frame_rate : frames/s
    tempo : float32 [window, interval], evidence in nats a second for the beat intervals of
        `beat_tempo.intervals(frame_rate)`, in equally long windows; none: empty
    """

    beat: np.ndarray
    downbeat: np.ndarray
    frame_rate: float
    tempo: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically; equal activations give equal bytes."""
        arrays = {"beat": self.beat, "downbeat": self.downbeat, "tempo": self.tempo}
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                _store(archive, name, np.asarray(array, np.float32))
            _store(archive, "frame_rate", np.float64(self.frame_rate))
        artifacts.write_bytes(path, stream.getvalue())

    @staticmethod
    def load(path: str | PathLike) -> "Activations":
        """Read what `save` wrote.

        Raises
        ------
        MirflowError : when the file is no such file, naming it
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ("beat", "downbeat", "tempo")}
                return Activations(**arrays, frame_rate=float(stored["frame_rate"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise MirflowError(f"{path}: not beat activations ({error})") from error


def _store(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)  # dated 1980: no clock


@dataclass(frozen=True)
class Grid:
    """Decoded beats.

    Attributes
    ----------
    beats : float64 [k], seconds, ascending
    positions : int64 [k], position in the bar, 1 is a downbeat
    """

    beats: np.ndarray
    positions: np.ndarray

    @property
    def downbeats(self) -> np.ndarray:
        """Seconds, float64 [m], a subset of the beats."""
        return self.beats[self.positions == 1]


STEMS = ("drums", "bass", "other", "vocals")
TURN = 60.0  # cost of a change of tempo in nats per natural logarithm of its ratio
ENTRY = (
    8.0  # nats that a run of beats must earn before it counts: its start, tempo and metre are a choice among thousands
)
BARS = {4: 0.5, 3: 0.2, 2: 0.15, 6: 0.05, 5: 0.05, 7: 0.05}  # beats a bar and how often, roughly


def onsets(full_mix: Audio, stems: dict[str, Audio]) -> np.ndarray:
    """Return onset strengths [frame, 3 * signals], each band over its own root mean square."""
    signals = [full_mix, *(stems[name] for name in STEMS if name in stems)]
    rows = [beat_onsets.band_flux(audio.resample(s.mono(), s.rate, beat_onsets.RATE)) for s in signals]
    length = len(rows[0])
    return np.concatenate([np.pad(r, ((0, max(0, length - len(r))), (0, 0)))[:length] for r in rows], axis=1)


def activations(full_mix: Audio, stems: dict[str, Audio]) -> Activations:
    """Estimate beat and downbeat activations by signal processing (backend `dsp`).

    Parameters
    ----------
    full_mix : the whole track
    stems : estimates of "drums", "bass", "other", "vocals", or any part of them
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rate = beat_onsets.FRAME_RATE
    flux = onsets(full_mix, stems)
    flux = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    frames = beat_tempo.intervals(rate)
    correlation = beat_tempo.autocorrelation(np.concatenate([flux, flux.sum(axis=1, keepdims=True)], axis=1), rate)
    pulse = sum(
        weight * beat_tempo.at_lags(correlation, frames * ratio).mean(axis=2)
        for ratio, weight in ((1, 1.0), (2, 0.5), (4, 0.3), (3, 0.3))
    )
    tempo = 3 * (pulse - 0.5) + beat_tempo.prior(frames, rate)
    strength = flux.sum(axis=1)
    peak = maximum_filter1d(strength, 3)
    scale = 2 * np.sqrt(uniform_filter1d(strength**2, round(8 * rate))) + 1e-6
    odds = np.clip(4 * peak / scale - 1.5, -2, 3)
    beat = 1 / (1 + np.exp(-odds))
    return Activations(beat.astype(np.float32), np.full(len(beat), 0.3, np.float32), rate, tempo.astype(np.float32))


def decode(found: Activations) -> Grid:
    """Decode a grid by the bar-pointer model."""
    from mirflow.dsp import beat_viterbi

    frames = beat_tempo.intervals(found.frame_rate)
    tempo = found.tempo
    if not tempo.size:
        tempo = np.zeros((1, len(frames)), np.float32)
    beat, down = (_log_odds(row) for row in (found.beat, found.downbeat))
    at, positions, _, _ = beat_viterbi.best_path(
        beat,
        down,
        np.ascontiguousarray(tempo / found.frame_rate, np.float32),
        -(-len(beat) // len(tempo)),
        frames,
        np.full(len(frames), -np.log(len(frames)), np.float32),
        np.array(list(BARS)),
        np.log(np.array(list(BARS.values()), np.float32)),
        (TURN * np.diff(np.log(frames))).astype(np.float32),
        np.float32(ENTRY),
    )
    return Grid(at / found.frame_rate, positions + 1)


def pick_peaks(found: Activations) -> Grid:
    """Take every peak of the activations above one half as a beat: no tempo, no metre, for music without either."""
    peaks = _peaks(found.beat, found.frame_rate)
    down = _peaks(found.downbeat, found.frame_rate)
    positions = np.full(len(peaks), 2)
    if len(peaks):
        nearest = np.abs(peaks[:, None] - down).argmin(axis=0)
        near = np.abs(peaks[nearest] - down) <= 0.07 * found.frame_rate  # the tolerance of the field, 70 ms
        positions[nearest[near]] = 1
    return Grid(peaks / found.frame_rate, positions)


def _peaks(activation: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return frames that are above one half and the largest within 70 ms on both sides."""
    from scipy.ndimage import maximum_filter1d

    highest = maximum_filter1d(activation, 2 * round(0.07 * frame_rate) + 1)
    top = np.flatnonzero((activation == highest) & (activation > 0.5))
    return top[np.diff(top, prepend=-len(activation)) > 0.07 * frame_rate]  # of a flat top the first frame


DECODERS = {"hmm": decode, "peaks": pick_peaks}


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, FLOOR, 1 - FLOOR)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
