"""The documents tell what the code does, and what they name is there."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import mirflow
from conftest import REPOSITORY
from mirflow import commands, features
from mirflow.core import identity, layout
from mirflow.core.audio import Audio
from mirflow.labels import heads
from mirflow.models import catalogue
from mirflow.workflow import feature_table, settings

README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", *sorted(REPOSITORY.glob("docs/*.md"))]
FOLDERS = ("config", "demo", "docs", "envs", "profiles", "rules", "scripts", "tests")  # of paths in the text
EXAMPLES = ("crest", "<")  # in paths of files that a reader makes
# Names before a colon that are no settings.
OF_PROFILES, OF_ENTRIES = ("cores", "resources"), ("device", "network", "separator")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def spans(page: Path) -> list[str]:
    """Return what a page sets in backticks within its text, and the lines of its shell blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    return [*re.findall(r"`([^`]+)`", text), *"".join(blocks(page, "sh")).splitlines()]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 130 and max(map(len, lines)) <= 120


@pages
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pages
def test_paths_targets_and_commands_exist(page):
    targets = set(re.findall(r"^([\w$(){}./-]+)(?: [\w-]+)*:", (REPOSITORY / "Makefile").read_text(), re.M))
    targets |= set(re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.M)[1].split())
    for span in spans(page):
        for path in re.findall(rf"(?<![\w/.~-])(?:{'|'.join(FOLDERS)})/[\w./<>-]*", span):
            assert any(word in path for word in EXAMPLES) or (REPOSITORY / path).exists(), path
        for target in re.findall(r"(?:^|&& )make ([a-z.][\w./-]*)", span):
            assert target.replace(".venv", "$(VENV)") in targets, span
        for command in re.findall(r"-m mirflow ([a-z_]+)", span):
            assert command in commands.names(), span
        for module in re.findall(r"-m benchmarks\.(\w+)", span):
            assert (REPOSITORY / "scripts/benchmarks" / f"{module}.py").exists(), span


@pages
def test_settings_exist(page):
    """Settings are named as `section.name`, as `name: value`, or in blocks of YAML."""
    default = yaml.safe_load((layout.CONFIG / "config.yaml").read_text())
    sections = {name: set(value) for name, value in default.items() if isinstance(value, dict) and name != "features"}
    for span in spans(page):
        for section, name in re.findall(rf"(?<![\w./])({'|'.join(sections)})\.(?!py|smk|json|parquet)([a-z_]+)", span):
            assert name in sections[section], span
        if (named := re.match(r"(\w+): ", span)) and named[1] not in (*OF_PROFILES, *OF_ENTRIES):
            assert named[1] in default, span
    for block in map(yaml.safe_load, blocks(page, "yaml")):
        if isinstance(block.get("models", ""), str):  # else it is a catalogue of models
            merged = {name: default[name] | value if name in sections else value for name, value in block.items()}
            settings.check(default | merged)


def test_the_example_of_a_model_becomes_a_feature(tmp_path, monkeypatch):
    (block,) = blocks(REPOSITORY / "docs/models.md", "yaml")
    (tmp_path / catalogue.OWN_ENTRIES).write_text(block)
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    (name,) = yaml.safe_load(block)["models"]
    assert [field.key for field in heads.declare(name).fields] == ["energy"]


def rows(table: str) -> dict[str, list[str]]:
    """Return the rows of a table of features, by feature."""
    found: dict[str, list[str]] = {}
    for line in table.splitlines():
        if begin := re.match(r"\| \*\*(\w+)\*\*", line):
            found[begin[1]] = mine = []
        if found:
            mine.append(line)
    return found


def test_the_table_of_features_is_that_of_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))  # without heads of one's own
    _, _, after = (REPOSITORY / "docs/features.md").read_text().partition(feature_table.BEGIN)
    page, made = rows(after.partition(feature_table.END)[0]), rows(feature_table.markdown())
    kinds = identity.read_versions()["kinds"]
    # A feature that no version has yet, somebody's own, may be missing.
    released = {name for name in made if name in heads.names() or f"feature_{name}" in kinds}
    assert released and {name: page.get(name) for name in released} == {name: made[name] for name in released}, (
        "run `make features`"
    )
    assert set(page) <= set(made), "run `make features`"


def test_every_key_has_its_row_with_unit_and_meaning():
    lines = feature_table.markdown().splitlines()
    for field in (field for feature in features.all_features() for field in feature.fields):
        (line,) = [line for line in lines if f"| `{field.key}` |" in line]
        assert field.unit and field.unit in line
        assert field.meaning and field.meaning.replace("|", "\\|") in line


def test_the_example_of_a_feature_measures_a_sine():
    module, its_test = blocks(README, "python")
    example: dict = {}
    exec(compile(module, "crest.py", "exec"), example)
    assert example["FEATURE"].name == "crest" and example["FEATURE"].cite
    compile(its_test, "test_crest.py", "exec")
    sine = 0.5 * np.sin(2 * np.pi * 441 * np.arange(44100) / 44100)
    measured = example["measure"](Audio(sine[None].astype(np.float32), 44100))
    assert measured == {"crest_factor": pytest.approx(20 * np.log10(np.sqrt(2)), abs=1e-3)}  # 3.01 dB
    assert example["measure"](Audio(np.zeros((2, 10), np.float32), 44100)) == {"crest_factor": None}


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    newest = re.search(r"^## ([\d.]+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)[1]
    assert citation["version"] == newest == mirflow.__version__
