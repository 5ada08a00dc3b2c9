"""Write the weights of a trained stems network for mirflow: `python -m training.export_stems WORK/best.pt FILE.npz`."""

import sys
from pathlib import Path

import numpy as np
import torch

from training.export_beats import write
from training.stem_net import CHANNELS, StemNet


def arrays(network: StemNet) -> dict[str, np.ndarray]:
    """Return the weights as `mirflow.dsp.separation.network` reads them: normalisations as scale and shift, matrices
    with the outputs last.
    """
    out: dict[str, torch.Tensor] = {}

    def norm(name, layer):
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        out[f"{name}.scale"], out[f"{name}.shift"] = scale, layer.bias - layer.running_mean * scale

    out["encode.weight"], out["encode.bias"] = network.encode, network.encode_bias
    for index, block in enumerate(network.blocks):
        name = f"block{index}"
        norm(name, block.norm)
        for part, layer in (("time", block.time.linear), ("band", block.band.linear), ("point", block.point)):
            out[f"{name}.{part}"], out[f"{name}.{part}_bias"] = layer.weight.T, layer.bias
    norm("narrow", network.narrow_norm)
    out["narrow.weight"] = network.narrow.weight.T.reshape(-1, CHANNELS, network.narrow.out_features)
    out["narrow.bias"] = network.narrow.bias
    for index, layer in enumerate(network.context):
        name = f"context{index}"
        norm(name, layer.norm)
        for part, linear in (("time", layer.time.linear), ("point", layer.point)):
            out[f"{name}.{part}"], out[f"{name}.{part}_bias"] = linear.weight.T, linear.bias
    norm("widen", network.widen_norm)
    wide = network.widen.weight.T.reshape(network.widen.in_features, -1, CHANNELS)
    out["widen.weight"], out["widen.bias"] = wide.permute(1, 0, 2), network.widen.bias.reshape(-1, CHANNELS)
    norm("out", network.out_norm)
    out["decode.state"], out["decode.input"] = network.decode, network.decode_input
    out["decode.bias"] = network.decode_bias
    out["last.weight"], out["last.bias"] = network.last, network.last_bias
    return {name: tensor.detach().numpy().astype(np.float16) for name, tensor in out.items()}


def main() -> None:
    """Export, and print how large the file is."""
    network = StemNet()
    network.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    write(Path(sys.argv[2]), arrays(network.eval()))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
