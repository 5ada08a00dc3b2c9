"""The level at which drums are heard: the same for loud and for quiet stems, but not for stems that hold no drums."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp import loudness
from mirflow.transcribe.activations import DRUMS, FRAME_RATE, DrumActivations

TARGET = -24.0  # LUFS: the middle of a range of 14 dB in which ADTOF's results hardly change
# dB: a stem that lies further below the mix is heard as if it were so far below it. It mostly holds what leaked into
# it, which must not be raised until it looks like drums.
LARGEST_DISTANCE = 6.0


def activations(
    drums: Audio,
    full_mix: Audio,
    hits: Callable[[Audio], np.ndarray | tuple[np.ndarray, np.ndarray]],
    own: Sequence[Audio] = (),
    *,
    with_mix: bool = False,
) -> DrumActivations:
    """Estimate drum activations of a stem, at the level `TARGET`.

    Parameters
    ----------
    drums : the drums stem, samples float32 [channel, n]
    full_mix : the track, in whose comparison a stem without drums is quiet
    hits : of a backend
    own : the drums of the stem, separated, in the order of `DRUMS`: each is then heard alone, with the gain of the stem
    with_mix : hear the mix too, and take the mean of the log odds: what leaked into a stem looks like drums there more
        often than in the mix, and the errors of a separation are not those of a mix

    Returns
    -------
    activations; all zero where the stem is silent (nothing above -47 LU re the mix), without asking the backend
    """
    of_mix = integrated_loudness(full_mix)
    of_stem = integrated_loudness(drums, loudness.gate_of_stems(of_mix))
    level = heard_level(of_stem, of_mix)
    if level is None:
        return DrumActivations(np.zeros((int(drums.duration * FRAME_RATE) + 1, len(DRUMS)), np.float32), drums.duration)
    gain = _gain(level)
    if own:
        alone = [_pair(hits(replace(sound, samples=sound.samples * gain))) for sound in own]
        found = [np.stack([pair[kind][:, drum] for drum, pair in enumerate(alone)], axis=1) for kind in (0, 1)]
    else:
        found = _pair(hits(replace(drums, samples=drums.samples * gain)))
    if with_mix and of_mix is not None:
        in_mix, _ = _pair(hits(replace(full_mix, samples=full_mix.samples * _gain(of_mix))))
        found = _mean_odds(found[0], in_mix), found[1]
    return DrumActivations(found[0], drums.duration, found[1])


def _mean_odds(stem: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Return the activations whose log odds are the mean of two; those of the stem where the mix has ended."""
    least = np.float32(1e-6)
    out, count = stem.copy(), min(len(stem), len(mix))
    one, other = (np.clip(hits[:count], least, 1 - least) for hits in (stem, mix))
    ratio = np.sqrt((one / (1 - one)) * (other / (1 - other)))
    out[:count] = ratio / (1 + ratio)
    return out


def _pair(found: np.ndarray | tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and velocities of a backend, the latter empty where it has none."""
    return (found, np.zeros((0, len(DRUMS)), np.float32)) if isinstance(found, np.ndarray) else found


def integrated_loudness(sound: Audio, gate: float = loudness.ABSOLUTE_GATE) -> float | None:
    """Return the loudness of a sound in LUFS; None where nothing is above the gate, also in LUFS."""
    return loudness.integrated_loudness(loudness.step_powers(sound.samples, sound.rate, sound.layout), gate)


def heard_level(stem: float | None, mix: float | None) -> float | None:
    """Return the loudness of a stem that is brought to `TARGET`, all in LUFS, None for silence."""
    if stem is None or mix is None:
        return stem
    return max(stem, mix - LARGEST_DISTANCE)


def _gain(level: float) -> np.float32:
    return np.float32(10 ** ((TARGET - level) / 20))
