"""Level of the full mix in four frequency bands."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import spectrum

BANDS = {"bass": (20, 120), "body": (120, 600), "mid": (600, 2500), "air": (2500, 22000)}  # Hz
FLOOR_DB = -120.0
FRAME = 35280  # samples at 44.1 kHz: 0.8 s, so that the lowest band has 80 bins of 1.25 Hz

FEATURE = Feature(
    name="multiband_rms",
    version=3,
    inputs=("full_mix",),
    fields=tuple(
        Field(
            f"rms_energy_{name}",
            "dBFS",
            bounds=(FLOOR_DB, 200),  # sources with floating-point samples may be far beyond full scale
            range=(-105 if name == "bass" else -60, 0),  # with a solo instrument, the bass band has only room noise
            meaning=f"RMS level from {low} to {high} Hz of all channels; at least -120, which is the value in silence",
        )
        for name, (low, high) in BANDS.items()
    ),
    cite="Parseval's theorem",
)


def measure(full_mix: Audio) -> dict[str, float]:
    """Measure the level in each band.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz

    Returns
    -------
    rms_energy_<band> : RMS level of all channels in dB re full scale, at least -120; -3.01 for a full-scale sine
    """
    frequency, power = spectrum.power_spectrum(spectrum.centred(full_mix.samples), full_mix.rate, frame=FRAME)
    values = {}
    for name, (low, high) in BANDS.items():
        mean_square = power[(frequency >= low) & (frequency < high)].sum()
        values[f"rms_energy_{name}"] = max(FLOOR_DB, 10 * float(np.log10(max(mean_square, 1e-30))))
    return values
