"""The sounds and the table that the timbral models are held to.

``sounds()`` synthesises the sounds with numpy alone. Run as a program, this file measures them with the original,
``timbral_models`` 0.4.0 (PyPI), and writes ``timbral_oracle.json`` beside itself. The original does not run on today's
libraries; an environment of its own age does, for instance

    python3.7 -m venv v37
    v37/bin/pip install numpy==1.17.5 scipy==1.3.3 numba==0.48.0 llvmlite==0.31.0 scikit-learn==0.22.2.post1 \\
        librosa==0.6.3 resampy==0.2.2 pyloudnorm==0.1.0 soundfile six
    v37/bin/pip install --no-deps timbral_models==0.4.0
    v37/bin/python tests/data/timbral_oracle.py
"""

import json
from pathlib import Path

import numpy as np

RATE = 44100


def _time(seconds, rate=RATE):
    return np.arange(int(seconds * rate)) / rate


def _place(notes, seconds, rate=RATE):
    """Return the sum of (start in seconds, samples)."""
    mix = np.zeros(int(seconds * rate))
    for start, note in notes:
        at = int(start * rate)
        mix[at : at + len(note)] += note[: len(mix) - at]
    return mix


def _harmonics(f0, seconds, decay, count, tilt=1.0, rate=RATE):
    """Return a note: harmonics that fall with 1/k^tilt and, the higher, the sooner."""
    t = _time(seconds, rate)
    note = np.zeros(len(t))
    for k in range(1, count + 1):
        if k * f0 < 0.45 * rate:
            note += np.sin(2 * np.pi * k * f0 * t) * np.exp(-t * (1 + 0.3 * k) / decay) / k**tilt
    return note * np.minimum(1, t / 0.002)


def _noise(seed, seconds, rate=RATE):
    return np.random.default_rng(seed).standard_normal(int(seconds * rate))


def _bursts(seed, decay, seconds, difference=0, rate=RATE):
    """Return noise that decays; each differencing tilts it up by 6 dB an octave."""
    noise = _noise(seed, seconds, rate)
    for _ in range(difference):
        noise = np.diff(noise, prepend=0)
    return noise * np.exp(-_time(seconds, rate) / decay)


def _kick():
    t = _time(0.3)
    return np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.09)


def _drums(seconds=5.0, beat=0.5):
    snare = 0.5 * _bursts(1, 0.05, 0.25) + 0.5 * _harmonics(190, 0.25, 0.1, 2)
    notes = []
    for i in range(int(seconds / beat)):
        notes.append((i * beat, 0.9 * _kick() if i % 2 == 0 else 0.6 * snare))
        notes += [(i * beat + k * beat / 2, 0.08 * _bursts(2 + k, 0.02, 0.1, difference=2)) for k in (0, 1)]
    return _place(notes, seconds)


def _plucks(seconds=5.0):
    scale = (220.0, 277.18, 329.63, 440.0, 329.63, 277.18)
    return _place([(0.1 + 0.4 * i, _harmonics(scale[i % 6], 1.2, 0.5, 20)) for i in range(12)], seconds)


def _bass(seconds=5.0):
    line = (41.2, 41.2, 55.0, 49.0)
    return _place([(0.5 * i, _harmonics(line[i % 4], 0.6, 0.8, 12, tilt=1.3)) for i in range(10)], seconds)


def _pad(seconds=5.0, rate=RATE):
    t = _time(seconds, rate)
    mix = sum(np.sin(2 * np.pi * k * f * t + k * f) / k for f in (130.81, 131.2, 164.81, 196.0) for k in range(1, 25))
    return mix * np.minimum(1, t / 0.8) * np.minimum(1, (seconds - t) / 0.8)


def _pink(seconds=5.0):
    spectrum = np.fft.rfft(_noise(3, seconds))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, int(seconds * RATE))


def _room_clicks(decay, seconds=6.0):
    """Return clicks in a room whose level falls by 60 dB in `decay` seconds."""
    room = _noise(4, 1.5) * 10 ** (-3 * _time(1.5) / decay) * 0.1
    room[0] = 1
    return _place([(0.2 + 0.95 * i, room) for i in range(6)], seconds)


def _brass(seconds=5.0):
    t = _time(seconds)
    phase = 2 * np.pi * 233.08 * t + 3 * np.sin(2 * np.pi * 5.2 * t)
    swell = np.abs(np.sin(np.pi * t / 1.25)) ** 0.5
    return sum(np.sin(k * phase) * swell**k / k for k in range(1, 18))


def sounds():
    """Yield (name, samples float32 [channel, n], rate): the same everywhere, up to the last bits of sin and exp."""
    t = _time(5.0)
    fade = np.minimum(1, np.minimum(t, 5.0 - t) / 0.05)
    drums, plucks, bass, pad = _drums(), _plucks(), _bass(), _pad()
    low_rate = _place([(0.3 * i, _harmonics(196 + 20 * i, 0.5, 0.3, 30, rate=22050)) for i in range(14)], 5.0, 22050)
    mono = {
        "tone_440": fade * np.sin(2 * np.pi * 440 * t),
        "tones_beating": fade * (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 475 * t)),
        "tone_3000_am": fade * np.sin(2 * np.pi * 3000 * t) * (1 + np.sin(2 * np.pi * 6 * t)),
        "white_noise": _noise(5, 4.0),
        "pink_noise": _pink(),
        "noise_bursts": _place([(0.35 * i, _bursts(10 + i, 0.06, 0.3)) for i in range(13)], 5.0),
        "drums": drums,
        "hats": _place([(0.125 * i, _bursts(30 + i, 0.02, 0.1, difference=2)) for i in range(38)], 5.0),
        "plucks": plucks,
        "bass": bass,
        "pad": pad,
        "brass": _brass(),
        "clicks_dry": _room_clicks(0.15),
        "clicks_room_0.5": _room_clicks(0.5),
        "clicks_room_0.9": _room_clicks(0.9),
        "one_pluck": _harmonics(330, 0.3, 0.2, 20),
        "distorted_mix": np.tanh(3 * (drums + 0.4 * plucks + 0.6 * bass + 0.1 * pad)),
    }
    for name, samples in mono.items():
        yield name, _scaled(samples[np.newaxis]), RATE
    yield "band_stereo", _scaled(np.stack([drums + 0.5 * bass + 0.4 * plucks, drums + 0.5 * bass + 0.1 * pad])), RATE
    yield "plucks_22050", _scaled(low_rate[np.newaxis]), 22050


def _scaled(samples):
    return (0.7 * samples / np.abs(samples).max()).astype(np.float32)


def main():
    """Measure the sounds with the original and write the table."""
    import librosa
    import timbral_models

    models = {name: getattr(timbral_models, "timbral_" + name) for name in (
        "brightness", "hardness", "depth", "booming", "warmth", "sharpness", "roughness")}  # fmt: skip
    table = {}
    for name, samples, rate in sounds():
        array = samples[0].astype(float) if len(samples) == 1 else samples.T.astype(float)
        row = {}
        for model, function in models.items():
            value = float(function(array.copy(), fs=rate))
            row[model] = round(value, 4) if np.isfinite(value) else None
        row["reverberation"] = round(100 * float(timbral_models.timbral_reverb(array, fs=rate, dev_output=True)[1]), 4)
        table[name] = row
        print(name, row, flush=True)
    oracle = "timbral_models 0.4.0 with librosa {}, numpy {}".format(librosa.__version__, np.__version__)  # noqa: UP032
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"oracle": oracle, "sounds": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
