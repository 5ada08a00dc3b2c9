"""Small separators with random weights, in the real architectures and file formats."""

import json
from fractions import Fraction
from pathlib import Path

SOURCES = ("drums", "bass", "other", "vocals")
DEMUCS = {"channels": 8, "depth": 3, "nfft": 512, "bottom_channels": 16, "t_layers": 3, "t_heads": 2}
ROFORMER = {
    "dim": 16,
    "depth": 1,
    "stereo": True,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 8,
    "heads": 2,
    "attn_dropout": 0.1,
    "ff_dropout": 0.1,
    "flash_attn": False,
    "stft_n_fft": 512,
    "stft_hop_length": 128,
    "stft_win_length": 512,
    "stft_normalized": False,
    "mask_estimator_depth": 2,
    "multi_stft_resolutions_window_sizes": (512, 256),
    "use_torch_checkpoint": False,
    "skip_connection": False,
}
BANDS = {"freqs_per_bands": (2,) * 16 + (9,) * 25}
MEL_BANDS = {"num_bands": 12, "sample_rate": 44100, "dim_freqs_in": 257}


def demucs(path: Path, seed: int = 0, sources: tuple[str, ...] = SOURCES, **changed: object) -> Path:
    """Write an HTDemucs with segments of one second in the format of Demucs 4.1: class and arguments are metadata."""
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    arguments = {**DEMUCS, "segment": Fraction(1), **changed}
    network = HTDemucs(list(sources), **arguments)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "gamma" in name or "scale" in name:  # as in trained ones, so that attention has an effect
                weights.fill_(0.5)
    encoded = {
        key: {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
        if isinstance(value, Fraction)
        else value
        for key, value in arguments.items()
    }
    about = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps([list(sources)]),
        "kwargs": json.dumps(encoded),
    }
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(state, path, metadata=about)
    return path


MDX23C = {
    "act": "gelu",
    "bottleneck_factor": 4,
    "growth": 8,
    "norm": "InstanceNorm",
    "num_blocks_per_scale": 1,
    "num_channels": 8,
    "num_scales": 2,
    "num_subbands": 4,
    "scale": [2, 2],
}
DRUM_SOURCES = ("kick", "snare", "toms", "hh", "ride", "crash")


def mdx23c(folder: Path, sources: tuple[str, ...] = DRUM_SOURCES, **changed: object) -> tuple[Path, Path]:
    """Write an MDX23C with segments of half a second: a checkpoint and a configuration."""
    import torch
    import yaml
    from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net
    from ml_collections import ConfigDict

    torch.manual_seed(0)
    audio = {"chunk_size": 22016, "dim_f": 256, "hop_length": 256, "n_fft": 512, "num_channels": 2}
    content = {
        "audio": {**audio, "sample_rate": 44100},
        "model": MDX23C,
        "training": {"instruments": list(sources), "target_instrument": None},
        **changed,
    }
    network = TFC_TDF_net(ConfigDict(content), device="cpu")
    checkpoint, configuration = folder / "drums.ckpt", folder / "drums.yaml"
    torch.save({"state_dict": network.state_dict()}, checkpoint)
    configuration.write_text(yaml.dump(content))
    return checkpoint, configuration


def roformer(
    folder: Path,
    seed: int = 0,
    sources: tuple[str, ...] = SOURCES,
    kind: str = "bs",
    name: str = "model",
    **changed: object,
) -> tuple[Path, Path]:
    """Write a RoFormer ("bs" or "mel") with segments of 0.5 s: a checkpoint, and a configuration with tuples in it."""
    import torch
    import yaml
    from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer
    from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer

    torch.manual_seed(seed)
    model = {**ROFORMER, **(BANDS if kind == "bs" else MEL_BANDS), "num_stems": len(sources)}
    network = (BSRoformer if kind == "bs" else MelBandRoformer)(**model)
    training = {"instruments": list(sources), "target_instrument": None, "use_amp": True}
    content = {
        "audio": {"chunk_size": 22050, "sample_rate": 44100, "num_channels": 2},
        "model": model | changed.pop("model", {}),
        "training": training | changed.pop("training", {}),
        "inference": {"dim_t": 801, "num_overlap": 2},
        **changed,
    }
    checkpoint, configuration = folder / f"{name}.ckpt", folder / f"{name}.yaml"
    torch.save(network.state_dict(), checkpoint)
    configuration.write_text(yaml.dump(content))  # with !!python/tuple, as trainers write it
    return checkpoint, configuration


SCNET = {
    "sources": list(SOURCES),
    "audio_channels": 2,
    "dims": [4, 8, 8, 16],
    "nfft": 512,
    "hop_size": 128,
    "win_size": 512,
    "normalized": True,
    "band_SR": [0.23, 0.37, 0.4],
    "band_stride": [1, 4, 4],
    "band_kernel": [3, 4, 4],
    "conv_depths": [1, 1, 1],
    "compress": 4,
    "conv_kernel": 3,
    "num_dplayer": 2,
    "expand": 1,
}


def scnet(folder: Path, name: str = "model", normalize: bool = False, **changed: object) -> tuple[Path, Path]:
    """Write an SCNet with segments of half a second: a checkpoint and a configuration."""
    import torch
    import yaml
    from msst.models.scnet import SCNet

    torch.manual_seed(0)
    model = SCNET | changed.pop("model", {})
    content = {
        "audio": {"chunk_size": 22050, "num_channels": 2, "sample_rate": 44100, "min_mean_abs": 0.0},
        "model": model,
        "training": {"instruments": model["sources"], "target_instrument": None},
        "inference": {"batch_size": 1, "num_overlap": 4, "normalize": normalize},
        **changed,
    }
    checkpoint, configuration = folder / f"{name}.ckpt", folder / f"{name}.yaml"
    torch.save({"state": SCNet(**SCNET | {"sources": model["sources"]}).state_dict()}, checkpoint)
    configuration.write_text(yaml.dump(content, sort_keys=False))
    return checkpoint, configuration
