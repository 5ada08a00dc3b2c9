"""Separation by signal processing alone: first version, a simple split."""

import numpy as np

VERSION = 1


def simple_split(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Split at 160 Hz, then harmonic from percussive by two medians (Fitzgerald 2010): the baseline of any separator.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n]; vocals are zero; their sum is the mix
    """
    import librosa

    n = samples.shape[1]
    if n < 2 or not samples.any():
        return {"drums": np.zeros_like(samples), "bass": np.zeros_like(samples), "other": samples.copy(),
                "vocals": np.zeros_like(samples)}
    size = 2 ** round(np.log2(2048 * rate / 44100))
    spectrum = librosa.stft(samples, n_fft=size, hop_length=size // 4, pad_mode="constant")
    low = librosa.fft_frequencies(sr=rate, n_fft=size) < 160
    bass = spectrum * low[:, None]
    _, percussive = librosa.decompose.hpss(np.abs(spectrum - bass).mean(axis=0), mask=True)
    drums = (spectrum - bass) * percussive
    stems = {name: librosa.istft(part, hop_length=size // 4, length=n, n_fft=size).astype(np.float32)
             for name, part in (("drums", drums), ("bass", bass))}
    stems["other"] = samples - stems["drums"] - stems["bass"]
    stems["vocals"] = np.zeros_like(samples)
    return stems


def separate(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    return simple_split(samples, rate)
