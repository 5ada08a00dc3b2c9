"""Beats and downbeats: activations from audio (backend `dsp`), and decoders that turn any activations into a grid."""

import io
import zipfile
from dataclasses import dataclass, field, replace
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
ENTRY = 8.0  # nats that a run of beats must earn: its start, tempo and metre are a choice among thousands
FINE = 75  # frames/s: at 250 beats a minute the next interval is 6 % longer, within what TURN lets pass
BARS = {4: 0.5, 3: 0.2, 2: 0.15, 5: 0.05, 6: 0.05, 7: 0.03}  # beats a bar and how often, roughly
# Nats by which another level must explain the tempo better than the first tracker's own, by the ratio of the two: half
# and double tempo are the usual errors of trackers, triple ones are rare.
ERRS = {1: 0.0, 1 / 2: 0.4, 2: 0.4, 1 / 3: 1.2, 3: 1.2, 2 / 3: 1.2, 3 / 2: 1.2}
PHASE = 2.0  # nats in favour of where the first tracker put its beats
ONSET = 0.5  # nats that an onset of usual strength adds: it decides within the width of a tick
SILENCE_DB = 60  # below the loudest moment
PULSE = 0.1  # mean autocorrelation after one and two beats: noise, speech and random clicks reach 0.08, rubato has 0.13
ONSETS = 0.015  # root mean square of the onset strength at `PEAK`: a steady sound has 0.006, held strings 0.03
PEAK = 0.7  # full scale is 1
VERSION = 1  # of the activations of the backend dsp
STEADY = 8  # beats whose median interval goes on after the last onset
PATIENCE = 2.0  # s of silence that the beat outlasts: a break, not an end


def activations(full_mix: Audio, stems: dict[str, Audio]) -> Activations:
    """Estimate beat and downbeat activations by signal processing (backend `dsp`).

    A first grid (Essentia's agreement of five onset functions, Zapata et al. 2014) is read on all metrical levels; the
    level is the one that best explains what repeats when, and small convolutions in beat-relative time judge where in
    the period the beat is and which beats open a bar. Both were fitted to some 1100 pieces rendered from random and
    from written scores (no recording); `beat_metre.npz` holds the 262 and 16 000 numbers.

    Parameters
    ----------
    full_mix : the whole track
    stems : not heard by this backend
    """
    mono = full_mix.mono()
    samples = audio.resample(mono, full_mix.rate, beat_onsets.RATE)
    samples = samples * (PEAK / max(np.abs(samples).max(initial=0), 1e-9))  # louder changes nothing
    flux = beat_onsets.band_flux(samples)
    first = _first_grid(audio.resample(mono, full_mix.rate, 44100))
    if len(first) < FEWEST or np.sqrt((flux**2).mean()) < ONSETS:
        return _nothing(len(flux))
    flux = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    first = _steady_end(first, flux.sum(axis=1))
    found = interpret(first, flux, beat_onsets.semitones(samples))
    beat = np.where(_sounding(samples, len(flux)), found.beat, np.float32(FLOOR))
    return replace(found, beat=beat, downbeat=np.minimum(found.downbeat, beat))


def interpret(first: np.ndarray, flux: np.ndarray, semitones: np.ndarray) -> Activations:
    """Judge a first grid by what repeats and what changes around it.

    Parameters
    ----------
    first : seconds, ascending, at least `FEWEST`
    flux : onset strength in bands, each over its root mean square, float32 [frame, band] at `beat_onsets.FRAME_RATE`
    semitones : levels of notes, float32 [frame / 4, note]
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rate = beat_onsets.FRAME_RATE
    weights = _weights()
    frames, step = beat_tempo.intervals(rate), round(beat_tempo.STEP * rate) / rate
    repeats = beat_tempo.features(beat_tempo.envelopes(flux, semitones, rate), frames, rate)
    tempo = beat_tempo.evidence(repeats, weights["tempo"])

    def places(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moment and the interval of each beat."""
        gaps = np.append(np.diff(grid), grid[-1] - grid[-2])
        return np.clip(np.round(grid / step).astype(int), 0, len(tempo) - 1), beat_tempo.nearest(frames, gaps * rate)

    if beat_tempo.pulse(repeats, *places(first)) < PULSE:
        return _nothing(len(flux))
    grids = beat_metre.other_levels(first, frames[0] / rate, frames[-1] / rate)
    scores = {ratio: tempo[places(other)].clip(-12).mean() - ERRS[ratio] for ratio, other in grids.items()}
    grid = grids[max(scores, key=scores.__getitem__)]

    times = np.arange(len(flux)) / rate
    ticks = beat_metre.tick_times(grid, len(flux) / rate)
    described = beat_metre.describe(ticks, flux, semitones, rate, tempo, frames, step)
    place, down = (np.interp(times, ticks, judged) for judged in beat_metre.judge(described, weights))
    strength = flux.sum(axis=1)
    usual = 2 * np.sqrt(np.maximum(uniform_filter1d(strength**2, round(8 * rate)), 1e-12))
    onset = np.clip(4 * maximum_filter1d(strength, 3) / usual - 1, -1.5, 3)
    period = np.interp(times, grid[:-1], np.diff(grid))
    nearest = np.abs(times - first[np.clip(np.searchsorted(first, times), 0, len(first) - 1)])
    nearest = np.minimum(nearest, np.abs(times - first[np.clip(np.searchsorted(first, times) - 1, 0, len(first) - 1)]))
    agreed = PHASE * np.clip(1 - nearest / (period / 8), 0, None)
    odds = place + agreed + ONSET * onset
    beat = 1 / (1 + np.exp(-odds))
    curve = period[:: round(beat_tempo.STEP * rate)]
    near = -0.5 * (np.log(frames[None] / rate / curve[:, None]) / 0.1) ** 2
    return Activations(
        beat=np.clip(beat, FLOOR, 1 - FLOOR).astype(np.float32),
        downbeat=(np.clip(beat, FLOOR, 1 - FLOOR) / (1 + np.exp(-np.clip(down, -4, 4)))).astype(np.float32),
        frame_rate=rate,
        tempo=np.maximum(near, -8).astype(np.float32),
    )


def _nothing(count: int) -> Activations:
    """Return activations of `count` frames without any beat."""
    return Activations(np.full(count, FLOOR, np.float32), np.full(count, FLOOR / 2, np.float32), beat_onsets.FRAME_RATE)


def _steady_end(grid: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return a grid [k] in s whose beats after the last onset keep the tempo before it: there trackers drift.

    `strength` is the onset strength, float32 [frame].
    """
    clear = np.flatnonzero(strength > np.sqrt((strength**2).mean()))
    sure = np.searchsorted(grid, clear[-1] / beat_onsets.FRAME_RATE + 0.07) if len(clear) else len(grid)
    if sure <= STEADY or sure == len(grid):
        return grid
    interval = np.median(np.diff(grid[sure - STEADY - 1 : sure]))
    return np.concatenate([grid[:sure], np.arange(grid[sure - 1] + interval, grid[-1] + interval / 2, interval)])


def _first_grid(samples: np.ndarray) -> np.ndarray:
    """Return the beats of Essentia's RhythmExtractor2013 (multifeature), float64 [k] in s; `samples` at 44.1 kHz."""
    if len(samples) < 3 * 44100 or not samples.any():  # shorter than FEWEST beats at the fastest tempo and the margins
        return np.zeros(0)
    from mirflow.dsp import essentia_algorithms

    beats = essentia_algorithms.standard().RhythmExtractor2013(method="multifeature")(samples)[1].astype(np.float64)
    return beats[np.diff(beats, prepend=-1) > 0.1]


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(Path(beat_metre.__file__).with_name("beat_metre.npz"), allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _sounding(samples: np.ndarray, count: int) -> np.ndarray:
    """Return which of `count` frames are in the music: have sound, or lie in a break that `PATIENCE` outlasts, bool."""
    from scipy.ndimage import binary_closing, binary_dilation

    rate, hop = beat_onsets.FRAME_RATE, beat_onsets.HOP
    padded = np.pad(samples, (hop // 2, count * hop))[: count * hop]  # frames are centred on their sample
    level = np.abs(padded.reshape(count, hop)).max(axis=1)
    loud = (level > level.max() * 10 ** (-SILENCE_DB / 20)) & (level > 0)
    reach = round(PATIENCE * rate / 2)
    closed = binary_closing(np.pad(loud, reach), np.ones(2 * reach + 1))[reach : reach + count]
    return binary_dilation(closed, np.ones(2 * round(0.07 * rate) + 1))  # the tolerance of the field, 70 ms


def decode(found: Activations) -> Grid:
    """Decode a grid by the bar-pointer model (Krebs, Böck & Widmer 2015), metres `BARS`, tempo 40 to 250.

    Music without a pulse is a state too: an empty grid is found where beats explain the activations no better.
    """
    from mirflow.dsp import beat_viterbi

    if not len(found.beat):
        return Grid(np.zeros(0), np.zeros(0, np.int64))
    if found.frame_rate < FINE:
        return decode(_finer(found))
    frames = beat_tempo.intervals(found.frame_rate)
    tempo = found.tempo if found.tempo.size else np.zeros((1, len(frames)), np.float32)
    if tempo.shape[1] != len(frames):
        raise ValueError(f"tempo evidence must be [window, {len(frames)}], got {tempo.shape}")
    beat = _log_odds(found.beat)
    # Given a beat, and so only as far as there is one; less the rate of downbeats (one beat in four is usual), which
    # the bars of the model state once more.
    down = found.beat * (_log_odds(found.downbeat / np.maximum(found.beat, FLOOR)) + np.float32(np.log(3)))
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


def _finer(found: Activations) -> Activations:
    """Return activations without tempo evidence at twice the frame rate, interpolated."""
    at = np.arange(2 * len(found.beat) - 1) / 2
    rows = (np.interp(at, at[::2], row).astype(np.float32) for row in (found.beat, found.downbeat))
    return Activations(*rows, 2 * found.frame_rate)


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


def with_clicks(full_mix: Audio, *, beats: np.ndarray, downbeats: np.ndarray) -> Audio:
    """Return the track at half level with a click of 30 ms on each beat: 1 kHz, on downbeats 2 kHz.

    Parameters
    ----------
    beats, downbeats : seconds; a downbeat is a beat too and gets one click
    """
    out = 0.5 * full_mix.samples
    time = np.arange(round(0.03 * full_mix.rate)) / full_mix.rate
    plain = beats[~np.isin(beats, downbeats)]
    for times, hertz in ((plain, 1000), (downbeats, 2000)):
        click = (0.5 * np.sin(2 * np.pi * hertz * time) * np.exp(-time / 0.008)).astype(np.float32)
        for begin in np.round(times * full_mix.rate).astype(int):
            room = out[:, begin : begin + len(click)]
            room += click[: room.shape[1]]
    return Audio(np.clip(out, -1, 1), full_mix.rate)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, FLOOR, 1 - FLOOR)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
