"""The evaluation of onset detection, on clicks at known times."""

import numpy as np
import pytest

from benchmarks import eval_onsets
from conftest import RATE, write
from mirflow.core.errors import MirflowError

TIMES = np.arange(0.5, 9.5, 0.5)


def test_columns_of_known_answers():
    """Half of the onsets 10 ms late, and four that do not exist: precision 9/13, recall 1/2."""
    found = np.sort(np.concatenate([TIMES[::2] + 0.01, [0.1, 0.2, 0.3, 9.7]]))
    assert eval_onsets._summary([(TIMES, found, 60.0, 2.0)]) == (
        f"{2 * 9 / (18 + 13):.3f}", "18", "13", "0.500", "4.0", "10.0", "2.00",
    )  # fmt: skip


def test_clicks_are_found_by_our_detector_and_by_the_others(tmp_path, capsys):
    samples = 1e-4 * np.random.default_rng(0).standard_normal(10 * RATE)
    decay = np.exp(-np.arange(2000) / 200) * np.sin(np.arange(2000) * 2 * np.pi * 1500 / RATE)
    for time in TIMES:
        at = round(time * RATE)
        samples[at : at + len(decay)] += 0.8 * decay
    write(tmp_path / "clicks" / "one" / "mix.flac", samples)
    (tmp_path / "clicks" / "one" / "onsets.txt").write_text("".join(f"{time:.6f}\n" for time in TIMES))
    eval_onsets.main([str(tmp_path)])
    rows = [line.rsplit(maxsplit=8) for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0].strip(), row[1]) for row in rows] == [
        ("clicks", name) for name in ("mirflow", "librosa", "Essentia")
    ]
    assert float(rows[0][2]) == 1
    assert all(float(row[2]) > 0.9 for row in rows)


def test_a_directory_without_pieces_is_an_error(tmp_path):
    with pytest.raises(MirflowError, match=r"no <id>/mix\.flac"):
        eval_onsets.main([str(tmp_path)])
