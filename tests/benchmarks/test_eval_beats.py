"""The evaluation of beat tracking, on clicks at known times."""

import numpy as np
import pytest

from benchmarks import eval_beats
from benchmarks.beat_scores import score
from conftest import RATE, write
from mirflow.core.errors import MirflowError

BEATS = np.arange(0.5, 24, 0.5)


@pytest.mark.parametrize(
    ("found", "scores"),
    [(BEATS, (1, 1, 1)), (BEATS[:-1] + 0.25, (0, 0, 1)), (BEATS[::2], (2 / 3, 0, 1)), (BEATS[:0], (0, 0, 0))],
    ids=["the truth", "off the beat", "every second beat", "nothing"],
)
def test_scores_of_known_answers(found, scores):
    """AMLt allows the off-beat and the double or half tempo; half of the beats is a precision of 1, a recall of 1/2."""
    assert score(BEATS, found) == pytest.approx(scores, abs=0.02)


def test_clicks_are_found_by_our_tracker_and_by_the_others(tmp_path, capsys):
    samples = 1e-4 * np.random.default_rng(0).standard_normal(25 * RATE)
    decay = np.exp(-np.arange(2000) / 200) * np.sin(np.arange(2000) * 2 * np.pi * 1500 / RATE)
    for index, beat in enumerate(BEATS):
        at = round(beat * RATE)
        samples[at : at + len(decay)] += (0.8 if index % 4 == 0 else 0.4) * decay
    for piece, downbeats in ((tmp_path / "clicks", BEATS[::4]), (tmp_path / "unknown bars", BEATS[:0])):
        write(piece / "mix.flac", samples)
        for name, times in (("beats", BEATS), ("downbeats", downbeats)):
            (piece / f"{name}.txt").write_text("".join(f"{time:.6f}\n" for time in times))
    eval_beats.main([str(tmp_path)])
    rows = [line.rsplit(maxsplit=5) for line in capsys.readouterr().out.splitlines()[2:]]
    beat_f = {head: float(row[0]) for head, *row in rows}
    trackers = ("embedded, hmm", "librosa beat_track", "Essentia multifeature", "Essentia degara")
    assert list(beat_f) == [
        f"{piece:32s} {tracker}" for piece in ("clicks", "unknown bars", "mean") for tracker in trackers
    ]
    assert beat_f[f"{'clicks':32s} embedded, hmm"] > 0.95
    downbeat_f = {head: row[3] for head, *row in rows if head.endswith("embedded, hmm")}
    assert downbeat_f[f"{'unknown bars':32s} embedded, hmm"] == "-"
    assert downbeat_f[f"{'mean':32s} embedded, hmm"] == downbeat_f[f"{'clicks':32s} embedded, hmm"] != "-"
    assert beat_f[f"{'mean':32s} librosa beat_track"] == beat_f[f"{'clicks':32s} librosa beat_track"] > 0.9


def test_a_directory_without_pieces_is_an_error(tmp_path):
    with pytest.raises(MirflowError, match=r"no <id>/mix\.flac"):
        eval_beats.main([str(tmp_path)])
