"""Audio Commons timbral models of the full mix: eight scores that predict how listeners rate a sound.

They are those of ``timbral_models`` 0.4.0 with the librosa of its time (0.6), whose onsets differ from today's: with
librosa 0.11 it moves hardness by up to 4 points. Other than there, every mix is analysed at 44.1 kHz, the channels are
averaged, silent channels do not count as dry, and what is infinite or not a number there is undefined here.
"""

import numpy as np

from mirflow.audio import Audio, resample
from mirflow.registry import Feature, Field

SHORTEST = 4096  # samples at 44.1 kHz: a window of the loudness model
KEPT_HZ = 21000  # of a mix that was resampled from more than 44.1 kHz
OPEN = (-1000, 200)  # regressions on logarithms: music lies in 0 ... 100, but they are open below
UNHEARD = "where nothing is above -70 LUFS, or shorter than"

FEATURE = Feature(
    name="timbral",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field(
            "brightness",
            "score",
            bounds=OPEN,
            range=(30, 90),
            meaning="bright: energy above 2 kHz, spectral centroid",
            undefined=f"{UNHEARD} 47 ms",
        ),
        Field(
            "hardness",
            "score",
            bounds=OPEN,
            range=(30, 90),
            meaning="hard: attacks that are fast, strong and wide in frequency; percussive energy",
            undefined=f"{UNHEARD} 93 ms, nothing audible at 7-14 Bark, or no change at all over time",
        ),
        Field(
            "depth",
            "score",
            bounds=OPEN,
            range=(10, 80),
            meaning="deep: energy below 500 Hz, low partials, long decays",
            undefined=f"{UNHEARD} 93 ms",
        ),
        Field(
            "booming",
            "score",
            bounds=OPEN,
            range=(0, 60),
            meaning="booming: loudness below 280 Hz, weighted by the booming index",
            undefined=f"{UNHEARD} 93 ms, or nothing audible below 7 Bark",
        ),
        Field(
            "warmth",
            "score",
            bounds=OPEN,
            range=(20, 70),
            meaning="warm: loudness at 1-4 Bark against 8-24 Bark, spectra that fall evenly towards high frequencies",
            undefined=f"{UNHEARD} 93 ms",
        ),
        Field(
            "sharpness",
            "score",
            bounds=OPEN,
            range=(15, 80),
            meaning="sharp: the centre of the loudness over the Bark scale (Fastl)",
            undefined=f"{UNHEARD} 93 ms",
        ),
        Field(
            "roughness",
            "score",
            bounds=(0, 200),
            range=(30, 80),
            meaning="rough: beating between partials (Vassilakis); 0, or 21 and more",
            undefined=f"{UNHEARD} 50 ms",
        ),
        Field(
            "reverberation",
            "%",
            bounds=(29.7, 86.1),
            range=(29.7, 86.1),
            meaning="100 x the probability of being heard as reverberant; spans 29.8 (RT60 0.2 s or less, or nothing "
            "decays freely) to 86.0 (1.1 s or more)",
            undefined="in digital silence, or shorter than 0.21 s",
        ),
    ),
    cite="Pearce, Brookes & Mason 2019, Audio Commons D5.8",
)


def measure(full_mix: Audio) -> dict[str, float | None]:
    """Measure the timbral scores.

    Parameters
    ----------
    full_mix : samples float32 [channel, n] in [-1, 1] nominal, rate in Hz; analysed at 44.1 kHz

    Returns
    -------
    brightness, hardness, depth, booming, warmth, sharpness, roughness : scores of the mean of the channels at -24 LUFS,
        not clipped
    reverberation : percent, from the mean RT60 of the channels that are not silent
    """
    from mirflow.dsp import timbral, timbral_onsets

    values: dict[str, float | None] = dict.fromkeys(field.key for field in FEATURE.fields)
    samples = resample(full_mix.samples, full_mix.rate, timbral.RATE)
    times = [timbral.reverberation_time(channel) for channel in samples if channel.any()]
    if times and None not in times:
        values["reverberation"] = timbral.reverberation(times)

    mix = timbral.normalised(samples.mean(axis=0, dtype=float))
    if mix is None:
        return values
    values["roughness"] = timbral.roughness(mix)
    if len(mix) >= SHORTEST:
        loudness = timbral.loudness(mix)
        padded = np.concatenate([np.zeros(timbral.PAD), mix])
        mix = padded[timbral.PAD :]
        envelope = timbral_onsets.envelope(padded, 0.1)
        values["booming"] = timbral.booming(loudness)
        values["sharpness"] = timbral.sharpness(loudness)
        top_hz = KEPT_HZ if full_mix.rate > timbral.RATE else timbral.RATE / 2
        values["warmth"] = timbral.warmth(mix, envelope[timbral.PAD :], loudness, top_hz)
        values["hardness"] = timbral.hardness(padded, envelope, loudness)
        del padded, envelope
    audible = timbral.highpass(mix, 20)
    del mix  # an hour of it is 1.3 GB
    values["brightness"] = timbral.brightness(audible)
    if len(audible) >= SHORTEST:
        values["depth"] = timbral.depth(audible)
    return values
