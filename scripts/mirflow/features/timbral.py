"""Audio Commons timbral models of the full mix: eight scores that predict the ratings of listeners.

The scores are those of ``timbral_models`` 0.4.0 with librosa 0.6, the version of its time. (The onset detection of
librosa 0.11 is different, and would change hardness by up to 4 points.) There are four differences: every mix is
analysed at 44.1 kHz; its channels are mixed down (`Audio.mono`); silent channels and offsets do not affect the
reverberation; and scores that are infinite or NaN in the original are undefined.
"""

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.feature import Feature, Field

SHORTEST = 4096  # samples at 44.1 kHz: one window of the loudness model
PASSBAND_HZ = 21000  # upper limit of the spectrum of a mix that was resampled from more than 44.1 kHz
SCORE_BOUNDS = (-1000, 200)  # music has scores in 0 ... 100, but regressions on logarithms have no lower bound
_SILENT = "the track is silent (not above -70 LUFS), or shorter than"

FEATURE = Feature(
    name="timbral",
    version=2,
    inputs=("full_mix",),
    fields=(
        Field(
            "brightness",
            "score",
            bounds=SCORE_BOUNDS,
            range=(30, 90),
            meaning="brightness: energy above 2 kHz, spectral centroid",
            undefined=f"{_SILENT} 47 ms",
        ),
        Field(
            "hardness",
            "score",
            bounds=SCORE_BOUNDS,
            range=(30, 90),
            meaning="hardness: attacks that are fast, strong and have a large bandwidth; percussive energy",
            undefined=f"{_SILENT} 93 ms, or nothing is audible at 7-14 Bark, or the sound does not change over time",
        ),
        Field(
            "depth",
            "score",
            bounds=SCORE_BOUNDS,
            range=(10, 80),
            meaning="depth: energy below 500 Hz, low partials, long decays",
            undefined=f"{_SILENT} 93 ms",
        ),
        Field(
            "booming",
            "score",
            bounds=SCORE_BOUNDS,
            range=(0, 60),
            meaning="booming: loudness below 280 Hz, weighted by the booming index",
            undefined=f"{_SILENT} 93 ms, or nothing is audible below 7 Bark",
        ),
        Field(
            "warmth",
            "score",
            bounds=SCORE_BOUNDS,
            range=(20, 70),
            meaning="warmth: loudness at 1-4 Bark compared with 8-24 Bark; spectra that fall evenly with frequency",
            undefined=f"{_SILENT} 93 ms",
        ),
        Field(
            "sharpness",
            "score",
            bounds=SCORE_BOUNDS,
            range=(15, 80),
            meaning="sharpness: the centroid of the specific loudness over the Bark scale (Fastl)",
            undefined=f"{_SILENT} 93 ms",
        ),
        Field(
            "roughness",
            "score",
            bounds=(0, 200),
            range=(30, 80),
            meaning="roughness: beating between partials (Vassilakis); 0, or at least 21",
            undefined=f"{_SILENT} 50 ms",
        ),
        Field(
            "reverberation",
            "%",
            bounds=(29.7, 86.1),
            range=(29.7, 86.1),
            meaning="probability that listeners call the sound reverberant: from 29.8 (RT60 of at most 0.2 s, or no "
            "free decay) to 86.0 (RT60 of at least 1.1 s)",
            undefined="the track is digital silence, or shorter than 0.21 s",
        ),
    ),
    cite="Pearce, Brookes & Mason 2019, Audio Commons D5.8",
)


def measure(full_mix: Audio) -> dict[str, float | None]:
    """Measure the timbral scores.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], full scale is ±1, rate in Hz; it is analysed at 44.1 kHz

    Returns
    -------
    brightness, hardness, depth, booming, warmth, sharpness, roughness : scores of the downmix at -24 LUFS,
        not clipped to 0 ... 100
    reverberation : percent, from the mean RT60 of the channels that are not silent

    Undefined values are None.
    """
    from mirflow.dsp.timbral import attacks, attributes

    values: dict[str, float | None] = dict.fromkeys(field.key for field in FEATURE.fields)
    samples = resample(full_mix.samples, full_mix.rate, attributes.RATE)
    channels = [attributes.without_offset(channel) for channel in samples]
    times = [attributes.reverberation_time(channel) for channel in channels if channel.any()]
    if times and None not in times:
        values["reverberation"] = attributes.reverberation(times)

    mix = samples.mean(axis=0, dtype=float) if full_mix.downmix is None else full_mix.downmix @ samples
    mix = attributes.normalised(mix)
    if mix is None:
        return values
    values["roughness"] = attributes.roughness(mix)
    if len(mix) >= SHORTEST:
        loudness = attributes.loudness(mix)
        padded = np.concatenate([np.zeros(attributes.PADDING), mix])
        mix = padded[attributes.PADDING :]
        envelope = attacks.envelope(padded, 0.1)
        values["booming"] = attributes.booming(loudness)
        values["sharpness"] = attributes.sharpness(loudness)
        top_hz = PASSBAND_HZ if full_mix.rate > attributes.RATE else attributes.RATE / 2
        values["warmth"] = attributes.warmth(mix, envelope[attributes.PADDING :], loudness, top_hz)
        values["hardness"] = attributes.hardness(padded, envelope, loudness)
        del padded, envelope
    high = attributes.highpass(mix, 20)
    del mix  # to limit memory: one hour is 1.3 GB
    values["brightness"] = attributes.brightness(high)
    if len(high) >= SHORTEST:
        values["depth"] = attributes.depth(high)
    return values
