"""Write the weights of a trained beat network for mirflow: `python -m training.export_beats WEIGHTS.pt ... FILE.npz`.

Of several trainings with the same start, the mean is written.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from training.beat_net import BeatNet

LARGE = 4096  # weights


def normalisation(name: str, layer) -> dict[str, torch.Tensor]:
    """Return a normalisation as scale and shift."""
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    return {f"{name}.scale": scale, f"{name}.shift": layer.bias - layer.running_mean * scale}


def layers(network) -> dict[str, torch.Tensor]:
    """Return the weights as `mirflow.dsp.layers` reads them, kernels with the outputs last."""
    front = network.front
    out = normalisation("front0", front[0]) | normalisation("front1", front[3])
    for name, layer in (("front0", front[1]), ("front1", front[4])):
        out[f"{name}.weight"] = layer.weight.permute(2, 3, 1, 0).reshape(-1, layer.out_channels)
        out[f"{name}.bias"] = layer.bias
    # torch flattens [channel, band], numpy [band, channel]
    bands = network.flatten.in_channels // front[4].out_channels
    flat = network.flatten.weight[:, :, 0].reshape(-1, front[4].out_channels, bands)
    out["flatten.weight"] = flat.permute(2, 1, 0).reshape(-1, network.flatten.out_channels)
    out["flatten.bias"] = network.flatten.bias
    out |= residual("block", network.blocks) | normalisation("out", network.out[0])
    out["out.weight"], out["out.bias"] = network.out[2].weight.permute(2, 1, 0), network.out[2].bias
    return out


def residual(prefix: str, blocks) -> dict[str, torch.Tensor]:
    """Return the weights of residual layers."""
    out = {}
    for index, block in enumerate(blocks):
        name = f"{prefix}{index}"
        out |= normalisation(name, block.norm)
        out[f"{name}.wide"], out[f"{name}.wide_bias"] = block.wide.weight.permute(2, 1, 0), block.wide.bias
        out[f"{name}.point"], out[f"{name}.point_bias"] = block.point.weight[:, :, 0].T, block.point.bias
    return out


def attention(network: BeatNet) -> dict[str, torch.Tensor]:
    """Return the weights of the layers of attention, and of those around them."""
    norm, _, narrow = network.narrow
    out = normalisation("narrow", norm)
    out["narrow.weight"] = narrow.weight.permute(2, 1, 0).reshape(-1, narrow.out_channels)
    out["narrow.bias"] = narrow.bias
    for index, layer in enumerate(network.attention):
        name = f"attention{index}"
        for prefix, norm in ((name, layer.norm), (f"{name}.wide", layer.wide_norm)):
            out[f"{prefix}.scale"], out[f"{prefix}.shift"] = norm.weight, norm.bias
        for part, linear in (("ask", layer.ask), ("answer", layer.answer), ("point", layer.point)):
            out[f"{name}.{part}"], out[f"{name}.{part}_bias"] = linear.weight.T, linear.bias
        out[f"{name}.wide_weight"], out[f"{name}.wide_bias"] = layer.wide.weight.T, layer.wide.bias
    out["widen.scale"], out["widen.shift"] = network.widen_norm.weight, network.widen_norm.bias
    out["widen.weight"] = network.widen.weight.permute(0, 2, 1).reshape(network.widen.in_channels, -1)
    out["widen.bias"] = network.widen.bias
    return out


def arrays(network: BeatNet) -> dict[str, np.ndarray]:
    """Return the weights as `mirflow.dsp.beats.network` reads them."""
    out = layers(network) | normalisation("tempo", network.tempo[0])
    out["tempo.weight"], out["tempo.bias"] = network.tempo[2].weight[:, :, 0].T, network.tempo[2].bias
    return quartered(out | attention(network) | residual("last", network.last))


def halved(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as 16 bit floats."""
    return {name: tensor.detach().numpy().astype(np.float16) for name, tensor in tensors.items()}


def quartered(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return large tensors as 8 bit integers, with a step for each column, and the others as 16 bit floats."""
    large = {name for name, tensor in tensors.items() if tensor.numel() >= LARGE}
    out = halved({name: tensor for name, tensor in tensors.items() if name not in large})
    for name in sorted(large):
        values = tensors[name].detach().numpy()
        step = np.abs(values.reshape(-1, values.shape[-1])).max(axis=0) / 127
        step = np.maximum(step, 1e-6).astype(np.float16)
        out[name] = np.clip(np.round(values / step.astype(np.float32)), -127, 127).astype(np.int8)
        out[f"{name}.step"] = step
    return out


def write(path: Path, stored: dict[str, np.ndarray]) -> None:
    """Write an .npz file whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in stored.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)


def mean(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of weights; whole numbers are those of the first."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }


def main() -> None:
    """Export, and print how large the file is."""
    *paths, out = map(Path, sys.argv[1:])
    state = mean([torch.load(path, weights_only=True) for path in paths])
    network = BeatNet(state["flatten.weight"].shape[0])
    network.load_state_dict(state)
    write(out, arrays(network.eval()))
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
