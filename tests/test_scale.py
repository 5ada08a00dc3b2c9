"""The programs of `make scale` and `make bench` measure what they say: finished clones, the same work done plain."""

from pathlib import Path

import pytest

from mirflow import plain, price, registry, scale

STEPS = 7  # jobs of a track beside its features: full_mix, stems, activations, two grids, onsets, info


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the project, and one track that it has made."""
    folder = tmp_path_factory.mktemp("scale")
    scale.copy_project(folder / "project")
    return folder / "project", scale.make_seed(folder / "project", folder / "seed")


def test_clones_are_finished_and_what_comes_new_is_planned_for_them(made):
    project, seed = made
    library, results = scale.clone(project, seed, seed.parent / "3", 3)
    planned = {case: cost.jobs for case, cost in scale.cases(project, library, results, make=False)}
    features = len(registry.features())
    assert planned == {
        "nothing made yet, dry run": 3 * (STEPS + features),
        "nothing made yet, table alone": 3 * (STEPS + features),
        "all made, dry run": 0,
        "all made, run": 0,
        "one more track, dry run": STEPS + features,
        "one more feature, dry run": 3 + 3,
    }


def test_the_plain_program_makes_the_same_files(made, tmp_path):
    _, seed = made
    plain.make(scale.SEED, seed / "library" / f"{scale.SEED}.wav", tmp_path / "plain")
    price.compare(tmp_path / "plain", seed / "results")
    fragment = tmp_path / "plain" / scale.SEED / "features/tempo.json"
    fragment.write_text(fragment.read_text() + " ")
    with pytest.raises(price.MirflowError, match=r"features/tempo\.json"):
        price.compare(tmp_path / "plain", seed / "results")
