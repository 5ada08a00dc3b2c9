"""Write the weights of a trained onset network: `python -m training.export_onsets WORK/best.pt FILE.npz`."""

import sys
from pathlib import Path

import torch

from training import export_beats
from training.onset_net import OnsetNet


def main() -> None:
    """Export, and print how large the file is."""
    network = OnsetNet()
    network.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    export_beats.write(Path(sys.argv[2]), export_beats.halved(export_beats.layers(network.eval())))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
