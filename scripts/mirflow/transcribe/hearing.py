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
) -> DrumActivations:
    """Estimate drum activations of a stem, at the level `TARGET`.

    Parameters
    ----------
    drums : the drums stem, samples float32 [channel, n]
    full_mix : the track, in whose comparison a stem without drums is quiet
    hits : of a backend
    own : the drums of the stem, separated, in the order of `DRUMS`: each is then heard alone, with the gain of the stem

    Returns
    -------
    activations; all zero where the stem is silent (nothing above -70 LUFS), without asking the backend
    """
    level = heard_level(drums, full_mix)
    if level is None:
        return DrumActivations(np.zeros((int(drums.duration * FRAME_RATE) + 1, len(DRUMS)), np.float32), drums.duration)
    gain = np.float32(10 ** ((TARGET - level) / 20))
    if own:
        alone = [_pair(hits(replace(sound, samples=sound.samples * gain))) for sound in own]
        found = [np.stack([pair[kind][:, drum] for drum, pair in enumerate(alone)], axis=1) for kind in (0, 1)]
    else:
        found = _pair(hits(replace(drums, samples=drums.samples * gain)))
    return DrumActivations(found[0], drums.duration, found[1])


def _pair(found: np.ndarray | tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and velocities of a backend, the latter empty where it has none."""
    return (found, np.zeros((0, len(DRUMS)), np.float32)) if isinstance(found, np.ndarray) else found


def heard_level(drums: Audio, full_mix: Audio) -> float | None:
    """Return the loudness in LUFS that is brought to `TARGET`; None for a silent stem."""
    stem, mix = (
        loudness.integrated_loudness(loudness.step_powers(sound.samples, sound.rate, sound.layout))
        for sound in (drums, full_mix)
    )
    if stem is None:
        return None
    return stem if mix is None else max(stem, mix - LARGEST_DISTANCE)
