"""Beats and downbeats: activations from audio (backend `dsp`), and the decoder that turns any activations into a grid."""

import io
import zipfile
from dataclasses import dataclass, field
from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow import artifacts, audio
from mirflow.audio import Audio
from mirflow.dsp import beat_metre, beat_onsets, beat_tempo
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
FEWEST = 8  # beats: two bars; less is no metre that could be told from chance
TURN = 50.0  # cost of a change of tempo in nats per natural logarithm of its ratio
ENTRY = 8.0  # nats that a run of beats must earn before it counts: its start, tempo and metre are a choice among thousands
BARS = {4: 0.5, 3: 0.2, 2: 0.15, 5: 0.05, 6: 0.05, 7: 0.03}  # beats a bar and how often, roughly
TRUST = 1.2  # nats by which another metrical level must explain the tempo better than the first tracker's own
PHASE = 1.0  # nats in favour of where the first tracker put its beats
ONSET = 0.5  # nats that an onset of usual strength adds: it decides within the width of a tick
SILENCE_DB = 60  # below the loudest moment
PATIENCE = 2.0  # s of silence that the beat outlasts: a break, not an end


def activations(full_mix: Audio, stems: dict[str, Audio]) -> Activations:
    """Estimate beat and downbeat activations by signal processing (backend `dsp`).

    A first grid (Essentia's agreement of five onset functions, Zapata et al. 2014) is read on all metrical levels; the
    level is the one that best explains what repeats when, and small convolutions in beat-relative time judge where in
    the period the beat is and which beats open a bar.

    Parameters
    ----------
    full_mix : the whole track
    stems : not heard by this backend
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rate = beat_onsets.FRAME_RATE
    mono = full_mix.mono()
    samples = audio.resample(mono, full_mix.rate, beat_onsets.RATE)
    flux = beat_onsets.band_flux(samples)
    flux = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    first = _first_grid(audio.resample(mono, full_mix.rate, 44100))
    if len(first) < FEWEST:
        return Activations(np.full(len(flux), FLOOR, np.float32), np.full(len(flux), FLOOR / 2, np.float32), rate)

    weights = _weights()
    semitones = beat_onsets.semitones(samples)
    frames, step = beat_tempo.intervals(rate), round(beat_tempo.STEP * rate) / rate
    tempo = beat_tempo.evidence(beat_tempo.envelopes(flux, semitones, rate), frames, rate, weights["tempo"])
    best = None
    for order, grid in enumerate(beat_metre.other_levels(first, frames[0] / rate, frames[-1] / rate)):
        row = np.clip(np.round(grid / step).astype(int), 0, len(tempo) - 1)
        column = beat_tempo.nearest(frames, np.append(np.diff(grid), grid[-1] - grid[-2]) * rate)
        score = tempo[row, column].clip(-12).mean() + TRUST * (order == 0)
        if best is None or score > best[0]:
            best = score, grid
    grid = best[1]

    times = np.arange(len(flux)) / rate
    ticks = beat_metre.tick_times(grid, len(flux) / rate)
    described = beat_metre.describe(ticks, flux, semitones, rate, tempo, frames, step)
    place, down = (np.interp(times, ticks, judged) for judged in beat_metre.judge(described, weights))
    strength = flux.sum(axis=1)
    usual = 2 * np.sqrt(uniform_filter1d(strength**2, round(8 * rate))) + 1e-6
    onset = np.clip(4 * maximum_filter1d(strength, 3) / usual - 1, -1.5, 3)
    period = np.interp(times, grid[:-1], np.diff(grid))
    nearest = np.abs(times - first[np.clip(np.searchsorted(first, times), 0, len(first) - 1)])
    nearest = np.minimum(nearest, np.abs(times - first[np.clip(np.searchsorted(first, times) - 1, 0, len(first) - 1)]))
    agreed = PHASE * np.clip(1 - nearest / (period / 8), 0, None)
    odds = place + agreed + ONSET * onset
    odds[~_sounding(samples, len(flux))] = -np.inf
    beat = 1 / (1 + np.exp(-odds))
    curve = period[:: round(beat_tempo.STEP * rate)]
    near = -0.5 * (np.log(frames[None] / rate / curve[:, None]) / 0.1) ** 2
    return Activations(
        beat=np.clip(beat, FLOOR, 1 - FLOOR).astype(np.float32),
        downbeat=(np.clip(beat, FLOOR, 1 - FLOOR) / (1 + np.exp(-np.clip(down, -4, 4)))).astype(np.float32),
        frame_rate=rate,
        tempo=np.maximum(near, -8).astype(np.float32),
    )


def _first_grid(samples: np.ndarray) -> np.ndarray:
    """Return the beats of Essentia's RhythmExtractor2013 (multifeature), seconds, float64 [k]; `samples` at 44.1 kHz."""
    import essentia
    import essentia.standard

    if len(samples) < 3 * 44100 or not samples.any():  # shorter than FEWEST beats at the fastest tempo and the margins
        return np.zeros(0)
    essentia.log.infoActive = essentia.log.warningActive = False
    beats = essentia.standard.RhythmExtractor2013(method="multifeature")(samples)[1].astype(np.float64)
    return beats[np.diff(beats, prepend=-1) > 0.1]


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(Path(beat_metre.__file__).with_name("beat_weights.npz"), allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _sounding(samples: np.ndarray, count: int) -> np.ndarray:
    """Return which of `count` frames have sound within `PATIENCE`, bool."""
    from scipy.ndimage import maximum_filter1d

    hop = beat_onsets.HOP
    padded = np.pad(samples, (0, max(0, count * hop - len(samples))))[: count * hop]
    level = np.abs(padded.reshape(count, hop)).max(axis=1)
    loud = level > level.max() * 10 ** (-SILENCE_DB / 20)
    return maximum_filter1d(loud, 2 * round(PATIENCE * beat_onsets.FRAME_RATE) + 1) & (level.max() > 0)


def decode(found: Activations) -> Grid:
    """Decode a grid by the bar-pointer model."""
    from mirflow.dsp import beat_viterbi

    frames = beat_tempo.intervals(found.frame_rate)
    tempo = found.tempo
    if not tempo.size:
        tempo = np.zeros((1, len(frames)), np.float32)
    if not len(found.beat):
        return Grid(np.zeros(0), np.zeros(0, np.int64))
    beat = _log_odds(found.beat)
    down = _log_odds(found.downbeat / np.maximum(found.beat, FLOOR))  # given a beat
    at, positions, _, _ = beat_viterbi.best_path(
        beat,
        down,
        np.ascontiguousarray(tempo / found.frame_rate, np.float32),
        -(-len(beat) // len(tempo)),
        frames,
        np.ones(len(frames), np.float32),
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
