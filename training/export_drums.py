"""Write the weights of a trained drum network for mirflow: `python -m training.export_drums WORK/best.pt FILE.npz`."""

import sys
from pathlib import Path

import torch

from training import export_beats
from training.drum_net import DRUMS, GROUP, DrumNet


def main() -> None:
    """Export, and print how large the file is."""
    network = DrumNet()
    network.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    stored = export_beats.layers(network.eval())
    # Velocities are a help in the training only: the level at the onset says more of them (training/README.md).
    for name in ("out.weight", "out.bias"):
        both = stored[name].unflatten(-1, (GROUP, 2, len(DRUMS)))
        stored[name] = both[..., 0, :].flatten(-2)
    export_beats.write(Path(sys.argv[2]), export_beats.halved(stored))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
