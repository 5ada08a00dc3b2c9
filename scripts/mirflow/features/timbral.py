"""Audio Commons timbral models of the full mix: eight scores that predict how listeners would rate the sound."""

import numpy as np

from mirflow.audio import Audio, resample
from mirflow.registry import Feature, Field

SHORTEST = 4096  # samples at 44.1 kHz: one window of the loudness model

FEATURE = Feature(
    name="timbral",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field("brightness", "score"), Field("hardness", "score"), Field("depth", "score"), Field("booming", "score"),
        Field("warmth", "score"), Field("sharpness", "score"), Field("roughness", "score"), Field("reverberation", "score"),
    ),
)


def measure(full_mix: Audio) -> dict[str, float | None]:
    from mirflow.dsp import timbral_models, timbral_onsets

    values: dict[str, float | None] = dict.fromkeys(field.key for field in FEATURE.fields)
    samples = resample(full_mix.samples, full_mix.rate, timbral_models.RATE)
    times = [timbral_models.reverberation_time(channel.astype(float)) for channel in samples if channel.any()]
    if times and None not in times:
        values["reverberation"] = timbral_models.reverberation(times)
    mono = samples.mean(axis=0, dtype=float)
    mix = timbral_models.normalised(mono) if len(mono) >= 2048 and mono.any() else None
    if mix is None:
        return values
    values["roughness"] = timbral_models.roughness(mix)
    if len(mix) >= SHORTEST:
        loudness = timbral_models.loudness(mix)
        envelope = timbral_onsets.envelope(mix, 0.1)
        values["booming"] = timbral_models.booming(loudness)
        values["sharpness"] = timbral_models.sharpness(loudness)
        values["warmth"] = timbral_models.warmth(mix, envelope, loudness)
        values["hardness"] = timbral_models.hardness(mix, envelope, loudness)
    high = timbral_models.highpass(mix, 20)
    values["brightness"] = timbral_models.brightness(high)
    values["depth"] = timbral_models.depth(high)
    return values
