"""The rooms of the package, and that imports go one way between them."""

import ast
from pathlib import Path

import pytest

from conftest import REPOSITORY
from mirflow.core import identity

SCRIPTS = REPOSITORY / "scripts"
PACKAGE = SCRIPTS / "mirflow"
# From the ground up: what stands on a line may import its own line and those before it.
LEVELS = [
    ["core"],
    ["dsp"],
    ["models"],
    ["library", "stems", "rhythm", "transcribe", "labels"],
    ["features"],
    ["describe"],
    ["metadata"],
    ["info"],
    ["timeseries"],
    ["crops"],
    ["export"],
    ["report"],
    ["workflow"],
    ["commands"],
    ["warm"],
    ["__main__"],
]
RANK = {room: rank for rank, rooms in enumerate(LEVELS) for room in rooms}
SIBLINGS = {"library", "stems", "rhythm", "transcribe", "labels"}  # stages, which do not know each other


def modules(root: Path) -> list[str]:
    """Return all modules below a package, dotted."""
    paths = (path.relative_to(root).with_suffix("") for path in sorted(root.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths if path.parts != ("__init__",)]


def imports(module: str) -> set[str]:
    return set(identity.read(module).imports)


def test_every_module_stands_in_a_known_room():
    assert {module.partition(".")[0] for module in modules(PACKAGE)} == set(RANK)


@pytest.mark.parametrize("module", modules(PACKAGE))
def test_imports_never_go_up(module):
    room = module.partition(".")[0]
    for imported in imports(module):
        other = imported.partition(".")[0]
        assert RANK[other] <= RANK[room], f"mirflow.{module} imports mirflow.{imported}, which stands above it"
        assert other == room or not {room, other} <= SIBLINGS, f"the stages {room} and {other} know each other"


def test_the_rule_sees_imports_in_any_form(tmp_path, monkeypatch):
    """What the other tests rest on: each way to write an import is understood."""
    monkeypatch.setattr(identity, "PACKAGE", tmp_path)
    monkeypatch.setattr(identity, "NOTES", tmp_path / "notes.json")
    for name in ("a/__init__.py", "a/one.py", "a/two.py", "b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    forms = [
        "from mirflow.a import one",
        "import mirflow.a.one",
        "from mirflow.a.one import x",
        "from mirflow.a import (\n    one,\n)",
        "import mirflow.a.one as y",
        "def f():\n    from mirflow.a import one as z",
        "from . import one",
        "from .one import x",
    ]
    for number, form in enumerate(forms):
        (tmp_path / f"a/m{number}.py").write_text(form)
        identity.read.cache_clear()
        assert "a.one" in identity.read(f"a.m{number}").imports, form
    identity.read.cache_clear()


def top_level_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_only_one_module_knows_snakemake_and_none_knows_the_benchmarks():
    found = {path.relative_to(PACKAGE).as_posix(): top_level_imports(path) for path in PACKAGE.rglob("*.py")}
    assert [path for path, names in found.items() if "snakemake" in names] == ["workflow/snakemake_internals.py"]
    assert not [path for path, names in found.items() if "benchmarks" in names]


def test_rule_files_and_packages_have_one_name():
    rules = {path.stem for path in (REPOSITORY / "rules").glob("*.smk")} - {"common"}
    assert rules <= set(RANK), "a rule file is named as the package that its commands call"
    every = (REPOSITORY / "Snakefile").read_text()
    assert all(f'include: "rules/{name}.smk"' in every for name in rules)


@pytest.mark.parametrize("name", ["warm.py"])
def test_the_client_uses_the_standard_library_alone(name):
    client = top_level_imports(SCRIPTS / name)
    assert client <= {"os", "sys", "_socket", "socket", "signal", "mirflow"}
    # What it imports of the package before a worker listens must not import numpy.
    for module in ("warm.session", "warm", ""):
        path = identity._file(module)
        assert "numpy" not in top_level_imports(path) and "mirflow" not in top_level_imports(path), module
