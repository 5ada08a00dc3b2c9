"""Tiny encoders with random weights, in the files that the real ones are published in."""

import json
from pathlib import Path

SPECTROGRAM = {  # of all CLAP models of LAION
    "chunk_length_s": 10,
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "n_fft": 1024,
    "nb_frequency_bins": 513,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "ClapProcessor",
    "return_attention_mask": False,
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "rand_trunc",
}
DECIBELS = {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623}  # of MuQ's spectrogram


def clap(folder: Path, names: list[str], seed: int = 1, **audio: object) -> None:
    """Write a CLAP with its text part: checkpoint, configuration, configuration of the spectrogram."""
    import torch
    from transformers import ClapConfig, ClapModel

    text = {"model_type": "clap_text_model", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "vocab_size": 32}  # fmt: skip
    audio = {"model_type": "clap_audio_model", "patch_embeds_hidden_size": 16, "hidden_size": 128,
             "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4], "num_hidden_layers": 4} | audio  # fmt: skip
    about = {"model_type": "clap", "architectures": ["ClapModel"], "projection_dim": 24, "initializer_factor": 4.0}
    about |= {"text_config": text, "audio_config": audio | {"initializer_factor": 4.0}, "torch_dtype": "float32"}
    torch.manual_seed(seed)
    state = ClapModel(ClapConfig.from_dict(about)).state_dict()
    # Of a new network it is that of nothing, which would hide what the sound is.
    state["audio_model.audio_encoder.batch_norm.running_mean"] += torch.linspace(-40, -20, 64)
    state["audio_model.audio_encoder.batch_norm.running_var"] *= 100
    torch.save(state, folder / names[0])
    (folder / names[1]).write_text(json.dumps(about))
    (folder / names[2]).write_text(json.dumps(SPECTROGRAM))


def muq(folder: Path, names: list[str], seed: int = 1, **more: object) -> None:
    """Write a MuQ with what only its training needs: weights, configuration."""
    import torch
    from safetensors.torch import save_file
    from transformers import Wav2Vec2ConformerConfig

    from mirflow.labels.encoders.muq import _network_class

    conformer = Wav2Vec2ConformerConfig(
        num_attention_heads=2, intermediate_size=32, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        conv_depthwise_kernel_size=3, position_embeddings_type="rotary", layerdrop=0.0,
    )  # fmt: skip
    about = {"encoder_dim": 16, "encoder_depth": 2, "conv_dim": 4, "codebook_size": 1024, "stat": DECIBELS,
             "use_rvq_target": True, "rvq_ckpt_path": "/nowhere/rvq.pt", "recon_loss_ratio": 0.1,
             "w2v2_config": json.loads(conformer.to_json_string(use_diff=False))} | more  # fmt: skip
    torch.manual_seed(seed)
    save_file(_network_class()(about).state_dict(), folder / names[0])
    (folder / names[1]).write_text(json.dumps(about))
