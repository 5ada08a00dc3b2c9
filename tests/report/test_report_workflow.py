"""The report in the workflow: only what is asked for is made, and Snakemake's own report has the pictures."""

import zipfile
from pathlib import Path

import pytest

from conftest import jobs, loop, run_snakemake, write
from mirflow.core import layout


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    write(folder / "One.wav", loop(1.0))
    write(folder / "Two #.wav", loop(1.0))
    return folder


def test_what_is_drawn_is_made_for_the_report_alone(library, tmp_path):
    plain = jobs(run_snakemake("-n", library=library, results=tmp_path).stdout)
    asked = jobs(run_snakemake("-n", "report", library=library, results=tmp_path).stdout)
    assert plain["info"] == 2 and not {"overview", "statistics", "report"} & set(plain)
    assert (asked["overview"], asked["statistics"], asked["report"]) == (2, 1, 1)


def test_snakemakes_report_has_the_pictures_that_exist(library, tmp_path):
    results = tmp_path / "results"
    files = layout.track_files(str(results), "Two #")
    for path in (files.beats_plot, layout.report(str(results))):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"a picture")
    made = tmp_path / "report.zip"
    done = run_snakemake("--report", str(made), "pictures", library=library, results=results)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(made) as archive:
        names = {Path(name).name for name in archive.namelist()}
        page = archive.read(min(archive.namelist(), key=lambda name: name.count("/"))).decode()
    assert {"beats.png", "report.html"} <= names and "crops.png" not in names
    assert "the activations of beats" in page
