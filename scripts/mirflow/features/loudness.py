"""Loudness of the full mix and of each stem: integrated loudness, loudness range, true peak."""

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.core.layout import STEMS
from mirflow.dsp import loudness

# LU. At least 5 % of the gated windows reach the 95th percentile, so the mean power is at most 13 LU below it. The gate
# is 20 LU below the mean power, and the 10th percentile is above the gate.
LARGEST_RANGE = 34.0
LOUDEST = 200.0  # LUFS, dBTP: sources with floating-point samples may be far beyond full scale
_ABSOLUTE = f"nothing above {loudness.ABSOLUTE_GATE:.0f} LUFS"
_OF_STEMS = f"nothing above {loudness.gate_of_stems(0):.0f} LU re the mix"


def _fields(suffix: str, source: str, gate: str, least: float, quietest: float) -> tuple[Field, Field]:
    return (
        Field(
            f"lufs{suffix}",
            "LUFS",
            bounds=(least, LOUDEST),
            range=(quietest, 0),
            meaning=f"integrated loudness of {source}, all channels but LFE",
            undefined=f"{source} is shorter than 0.4 s, or silent ({gate})",
        ),
        Field(
            f"lra{suffix}",
            "LU",
            bounds=(0, LARGEST_RANGE),
            range=(0, 25),
            meaning=f"loudness range of {source}: 95th minus 10th percentile of the gated short-term loudness",
            undefined=f"{source} is shorter than 3 s, or silent ({gate})",
        ),
    )


FEATURE = Feature(
    name="loudness",
    version=4,
    inputs=("full_mix", *STEMS),
    fields=(
        *_fields("", "the full mix", _ABSOLUTE, loudness.ABSOLUTE_GATE, -40),
        Field(
            "true_peak",
            "dBTP",
            bounds=(-900, LOUDEST),  # the smallest float32 is above -900 dB
            range=(-20, 3),
            meaning="largest level of all channels, also between samples, by four-fold oversampling",
            undefined="the full mix is digital silence",
        ),
        *(
            field
            for stem in STEMS
            for field in _fields(
                f"_{stem}", f"the {stem} stem", _OF_STEMS, loudness.gate_of_stems(loudness.ABSOLUTE_GATE), -70
            )
        ),
    ),
    cite="ITU-R BS.1770-4 (2015); EBU Tech 3341 and 3342 (2016)",
)


def measure(full_mix: Audio, **stems: Audio) -> dict[str, float | None]:
    """Measure the loudness of the full mix and of the stems.

    Parameters
    ----------
    full_mix, drums, bass, other, vocals : samples float32 [channel, n], rate in Hz; LFE channels do not
        count (see `Audio.layout`)

    Returns
    -------
    lufs, lufs_<stem> : integrated loudness in LUFS. The absolute gate is that of the standard for the mix; for stems it
        is relative to the mix (`mirflow.dsp.loudness.gate_of_stems`)
    lra, lra_<stem> : loudness range in LU
    true_peak : of the full mix, in dBTP

    Undefined values are None.
    """
    values: dict[str, float | None] = {"true_peak": loudness.true_peak(full_mix.samples, full_mix.rate)}
    gate = loudness.ABSOLUTE_GATE
    for suffix, audio in (("", full_mix), *((f"_{stem}", stems[stem]) for stem in STEMS)):
        powers = loudness.step_powers(audio.samples, audio.rate, audio.layout)
        values[f"lufs{suffix}"] = loudness.integrated_loudness(powers, gate)
        values[f"lra{suffix}"] = loudness.loudness_range(powers, gate)
        if audio is full_mix:
            gate = loudness.gate_of_stems(values["lufs"])
    return values
