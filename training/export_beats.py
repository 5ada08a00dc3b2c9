"""Write the weights of a trained beat network for mirflow: `python -m training.export_beats WORK/best.pt FILE.npz`."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from training.beat_net import BeatNet


def arrays(network: BeatNet) -> dict[str, np.ndarray]:
    """Return the weights as `mirflow.dsp.beats.network` reads them: normalisations as scale and shift, kernels with the
    outputs last.
    """
    out: dict[str, np.ndarray] = {}

    def norm(name, layer):
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        out[f"{name}.scale"], out[f"{name}.shift"] = scale, layer.bias - layer.running_mean * scale

    front = network.front
    norm("front0", front[0])
    norm("front1", front[3])
    for name, layer in (("front0", front[1]), ("front1", front[4])):
        out[f"{name}.weight"] = layer.weight.permute(2, 3, 1, 0).reshape(-1, layer.out_channels)
        out[f"{name}.bias"] = layer.bias
    # torch flattens [channel, band], numpy [band, channel]
    bands = network.flatten.in_channels // front[4].out_channels
    flat = network.flatten.weight[:, :, 0].reshape(-1, front[4].out_channels, bands)
    out["flatten.weight"] = flat.permute(2, 1, 0).reshape(-1, network.flatten.out_channels)
    out["flatten.bias"] = network.flatten.bias
    for index, block in enumerate(network.blocks):
        norm(f"block{index}", block.norm)
        out[f"block{index}.wide"] = block.wide.weight.permute(2, 1, 0)
        out[f"block{index}.wide_bias"] = block.wide.bias
        out[f"block{index}.point"] = block.point.weight[:, :, 0].T
        out[f"block{index}.point_bias"] = block.point.bias
    norm("out", network.out[0])
    out["out.weight"], out["out.bias"] = network.out[2].weight.permute(2, 1, 0), network.out[2].bias
    norm("tempo", network.tempo[0])
    out["tempo.weight"], out["tempo.bias"] = network.tempo[2].weight[:, :, 0].T, network.tempo[2].bias
    return {name: tensor.detach().numpy().astype(np.float16) for name, tensor in out.items()}


def write(path: Path, stored: dict[str, np.ndarray]) -> None:
    """Write an .npz file whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in stored.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Export, and print how large the file is."""
    state = torch.load(sys.argv[1], weights_only=True)
    network = BeatNet(state["flatten.weight"].shape[0])
    network.load_state_dict(state)
    write(Path(sys.argv[2]), arrays(network.eval()))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
