"""The programs in training/: the optimiser, and how pieces are made."""

import argparse
from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import beat_net, export_beats, pieces  # noqa: E402
from training.optimiser import Muon, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_all_singular_values_become_equal_and_the_directions_stay(shape):
    random = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape), generator=random))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape), generator=random))
    sizes = torch.logspace(0, -1, min(shape))  # from 1 to 0.1
    found = left.T @ orthogonal(left * sizes @ right.T) @ right
    assert torch.allclose(found, torch.diag(torch.diag(found)), atol=0.05)
    assert 0.6 < float(torch.diag(found).min()) and float(torch.diag(found).max()) < 1.3


def test_matrices_and_all_else_reach_the_least_squares():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))
    inputs = torch.randn(200, 6)
    wanted = inputs @ torch.randn(6, 3) + torch.tensor([1.0, -2.0, 0.5])
    optimiser = Muon(network, ("1",), 0.02)
    assert [list(weights.shape) for weights in optimiser.matrices] == [[5, 6]]
    for step in range(600):
        optimiser.set_rate(0.02 * (1 - step / 600))
        loss = torch.mean(torch.square(network(inputs) - wanted))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 1e-3


def test_only_missing_pieces_are_made_and_unfinished_ones_are_not_read(tmp_path):
    arguments = argparse.Namespace(out=tmp_path, split="train", first=2, count=3)
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "000003.npz").write_bytes(b"made before")
    (folder / ".unfinished-000004.npz").write_bytes(b"")
    pieces.make_all(arguments, ".npz", _write)
    assert (folder / "000003.npz").read_bytes() == b"made before"
    (folder / "000003.npz").unlink()
    found = pieces.Pieces(folder, "[0-9]*.npz", lambda path: int(np.load(path)["index"]))
    assert list(found) == [2, 4]
    assert list(pieces.Pieces(folder, "[0-9]*.npz", lambda path: int(path.stem), lambda number: number > 2)) == [4]


def _write(index, file):
    np.savez(file, index=index)


@pytest.mark.parametrize(("loss_of_mean", "kept"), [(0.5, "mean"), (1.5, "last")])
def test_the_mean_with_the_best_weights_before_the_rate_falls_is_kept_if_better(
    tmp_path, monkeypatch, loss_of_mean, kept
):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        piece = {"mel": np.ones((320, 64), np.float16), "beats": np.arange(6) / 2, "positions": np.arange(6) % 4 + 1}
        np.savez(tmp_path / split / "0.npz", **piece, kind="clicks")
    losses, seen = iter([3, 2, 4, 1, loss_of_mean]), []

    def validate(network, _):
        seen.append(deepcopy(network.state_dict()))
        return dict.fromkeys(("loss", "beat", "downbeat", "tempo"), next(losses))

    for name, value in {"CROP": 256, "BATCH": 2, "CHECKED": 1, "validate": validate}.items():
        monkeypatch.setattr(beat_net, name, value)
    beat_net.train(tmp_path, tmp_path, steps=4, peak_rate=4e-3, channels=8, resume=None)
    weights = torch.load(tmp_path / "best.pt", weights_only=True)["out.2.weight"]
    _, early, _, last, mean = (state["out.2.weight"] for state in seen)
    assert not torch.equal(early, last)
    assert torch.allclose(mean, 0.7 * last + 0.3 * early)
    assert torch.equal(weights, {"mean": mean, "last": last}[kept])


def test_the_mean_of_weights_keeps_whole_numbers():
    states = [{"weight": torch.tensor([1.0, 4.0]), "batches": torch.tensor(3)},
              {"weight": torch.tensor([3.0, 2.0]), "batches": torch.tensor(8)}]  # fmt: skip
    mean = export_beats.mean(states)
    assert mean["weight"].tolist() == [2, 3] and mean["batches"].item() == 3
