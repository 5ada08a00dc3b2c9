"""What makes an artifact out of date: the version of what makes it, its settings, and edits that no release knows.

Each kind of artifact has a version, which rises when its values change. That alone would miss what you edit on your own
machine, and hashing the sources would make a whole library out of date for a comment. So both are combined:

- The code of a kind is its module and all modules of this package that it imports, directly or not. Of each module the
  meaning is hashed: its syntax tree without comments, docstrings, annotations and formatting. What modules are called
  and where they lie does not count; data beside a module (``metre.npz`` of ``metre.py``) does.
- ``versions.json`` lists the modules of each release by that hash. Code that is listed there is the version, nothing
  else; a module that is not listed (an edited one, or a feature of your own) adds its hash to the version.

So an upgrade recomputes what has a new version, and an edit of yours recomputes what depends on it. ``make versions``
renews the list, after comparing the values on fixed inputs with those of the version (tests/known_values.py).
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
VERSIONS = PACKAGE / "versions.json"
NOTES = PACKAGE / "__pycache__" / "identity.json"  # what `read` has read
HEX_DIGITS = 12  # of a module's hash

# Kind of artifact → the modules that make it; VERSION stands in the first. Features are kinds of their own:
# "feature_<name>" is made by `mirflow.features.<name>`, which declares its version; "embedding_<encoder>" by
# `mirflow.labels.encoders.<encoder>`; "export_<target>" by `mirflow.export.targets.<target>`.
KINDS: dict[str, tuple[str, ...]] = {
    "full_mix": ("library.full_mix",),
    "stems_embedded": ("stems.embedded",),
    "stems_demucs": ("stems.demucs",),
    "stems_roformer": ("stems.roformer",),
    "stems_scnet": ("stems.scnet",),
    "drum_stems": ("stems.drum_stems", "stems.mdx23c"),
    "stem_files": ("stems.files",),
    "full_mix_instrumental": ("stems.instrumental",),
    "beat_activations_embedded": ("rhythm.embedded",),
    "beat_activations_beat_this": ("rhythm.beat_this",),
    "beats_grid": ("rhythm.decoders",),
    "downbeats": ("rhythm.decoders",),
    "onsets": ("dsp.onsets",),
    "beats_wav": ("rhythm.clicks",),
    "beats_png": ("rhythm.plot",),
    "drum_activations_embedded": ("transcribe.embedded", "transcribe.hearing"),
    "drum_activations_adtof": ("transcribe.adtof", "transcribe.hearing"),
    "drum_notes": ("transcribe.notes",),
    "bass_notes": ("transcribe.bass",),
    "bass_mid": ("transcribe.midi", "transcribe.tempo_map"),
    "drums_wav": ("transcribe.sonification",),
    "drums_png": ("transcribe.plot",),
    "drums_mid": ("transcribe.midi", "transcribe.tempo_map"),
    "embedding": ("labels.embedding",),
    "feature_head": ("labels.heads",),
    "describe_gguf": ("describe.generation", "describe.session", "describe.prompts", "describe.gguf"),
    "describe_transformers": (
        "describe.generation",
        "describe.session",
        "describe.prompts",
        "describe.transformers_backend",
    ),
    "condense": ("describe.generation", "describe.prompts", "describe.gguf"),
    "texts": ("describe.fragment",),
    "tags": ("metadata.tags",),
    "fingerprint": ("metadata.fingerprint",),
    "lookup": ("metadata.lookup",),
    "duplicates": ("metadata.duplicates", "metadata.split", "metadata.kernels"),
    "alike": ("metadata.alike",),
    "info": ("info",),
    "timeseries": ("timeseries.measure", "timeseries.same_chroma"),
    "crops": ("crops.plan", "crops.files"),
    "crop_features": ("crops.measure",),
    "crop_info": ("crops.info",),
    "crops_png": ("crops.plot",),
    "tables": ("export.tables",),
    "statistics": ("report.build", "report.bandwidth"),
    "overview": ("report.page.overview",),
    "report": ("report.page.build",),
}


def made_by(*kinds: str, **settings: Any) -> dict[str, str]:
    """Return everything but its inputs that an artifact depends on, for the ``params`` of its rule.

    Parameters
    ----------
    kinds : of `KINDS`, or "feature_<name>"; the first is the artifact's own
    settings : what else decides its values: the user's choices, the identity of a model
    """
    versions = {("version" if kind == kinds[0] else f"{kind} version"): version(kind) for kind in kinds}
    return {"kind": kinds[0]} | versions | {name: str(value) for name, value in settings.items()}


@cache
def version(kind: str) -> str:
    """Return a kind's version, followed by the hashes of those of its modules that belong to no release."""
    found = sorted(set(code(kind).values()) - released())
    return " ".join([str(declared_version(kind)), *found])


def unify(text: str) -> str:
    """Return a version as `version` gave it earlier, without the hashes of modules that were released since."""
    number, *hashes = text.split()
    return " ".join([number, *(one for one in hashes if one not in released())])


def translate(recorded: list[str], made_by: dict[str, str]) -> dict[str, str]:
    """Return what version 0.1.0 recorded of an artifact, as `made_by` gives it today.

    That version recorded the plain values of all parameters (as Python writes them), and of its sources a hash.

    Parameters
    ----------
    recorded : those values
    made_by : what the artifact depends on today; what was not recorded then is left out of the answer
    """
    known = read_versions()["0.1.0"]
    kind = made_by.get("kind", "")
    sources = {known[kind]} if kind in known else set()
    if sources != {source for source in known.values() if repr(source) in recorded}:
        return {"version": "of other sources than those of 0.1.0"}
    values = {str(ast.literal_eval(item)) for item in recorded}
    if "source" in made_by:  # then it was the whole path of the source
        values |= {made_by["source"] for value in values if value.endswith(f"/{made_by['source']}")}
    then = {name: "1" for name in made_by if name.endswith("version")} | {"kind": kind}
    return then | {name: value for name, value in made_by.items() if name not in then and value in values}


def modules(kind: str) -> tuple[str, ...]:
    """Return the modules that make a kind, below the package.

    Raises
    ------
    KeyError : there is no such kind
    """
    if kind not in KINDS and kind.startswith("feature_"):
        return (f"features.{kind.removeprefix('feature_')}",)
    if kind not in KINDS and kind.startswith("embedding_"):
        return (f"labels.encoders.{kind.removeprefix('embedding_')}",)
    if kind.startswith("export_"):
        return (f"export.targets.{kind.removeprefix('export_')}", "export.build")
    return KINDS[kind]


def declared_version(kind: str) -> int:
    """Return the number that a kind's module states, as ``VERSION = 1`` or in its ``FEATURE``, without importing it.

    Raises
    ------
    ValueError : it states none
    """
    module = modules(kind)[0]
    stated = read(module).version
    if stated is None:
        raise ValueError(f"mirflow.{module} declares no version")
    return stated


@cache
def code(kind: str) -> dict[str, str]:
    """Return the modules that a kind depends on, with the hash of each."""
    todo, found = list(modules(kind)), {}
    while todo:
        module = todo.pop()
        if module not in found:
            found[module] = read(module).meaning
            todo += read(module).imports
    return found


@cache
def released() -> frozenset[str]:
    """Return the hashes of all modules that belong to a release."""
    return frozenset(one for hashes in read_versions()["modules"].values() for one in hashes)


@cache
def read_versions() -> dict[str, Any]:
    """Return what ``versions.json`` holds: "kinds", name → version, "modules", name → hashes, and "0.1.0"."""
    return json.loads(VERSIONS.read_text())


@dataclass(frozen=True)
class Module:
    """What is known of a module.

    Attributes
    ----------
    meaning : hash of what it does, and of the data beside it
    imports : the modules of this package that it imports
    version : what it states as its version, None when it states none
    """

    meaning: str
    imports: list[str]
    version: int | None


@cache
def read(module: str) -> Module:
    """Read a module, or what was noted of it since it last changed."""
    path = _file(module)
    data = sorted(path.parent.glob(f"{path.stem}.np?"))
    stamp = [[file.stat().st_size, file.stat().st_mtime_ns] for file in (path, *data)]
    noted = _notes().get(str(path))
    if noted and len(noted) == 4 and noted[0] == stamp:
        return Module(*noted[1:])
    tree = ast.parse(path.read_bytes(), str(path))
    imports = list(_imports(tree, module))
    digest = hashlib.sha256(_canonical(tree, {name for _, name in imports if name}).encode())
    for file in data:
        digest.update(file.read_bytes())
    imported = sorted({name for name, _ in imports if name})
    found = Module(digest.hexdigest()[:HEX_DIGITS], imported, _version(tree))
    _notes()[str(path)] = [stamp, found.meaning, found.imports, found.version]
    _save_notes()
    return found


@cache
def _notes() -> dict[str, list]:
    """Return what was noted of modules: reading them all takes a third of a second, in each run."""
    try:
        return json.loads(NOTES.read_text())
    except (OSError, ValueError):
        return {}


def _save_notes() -> None:
    with contextlib.suppress(OSError):  # the package lies where this user may not write
        NOTES.parent.mkdir(exist_ok=True)
        new = NOTES.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(_notes()))
        new.replace(NOTES)


def _version(tree: ast.Module) -> int | None:
    """Return the number in ``VERSION = 1`` or ``FEATURE = Feature(..., version=1, ...)``, at the top of a module."""
    for node in tree.body:
        names = [getattr(target, "id", "") for target in node.targets] if isinstance(node, ast.Assign) else []
        if names == ["VERSION"]:
            return ast.literal_eval(node.value)
        if names == ["FEATURE"] and isinstance(node.value, ast.Call):
            given = [*node.value.args[1:2], *(word.value for word in node.value.keywords if word.arg == "version")]
            return next((value.value for value in given if isinstance(value, ast.Constant)), None)
    return None


def _file(module: str) -> Path:
    """Return the file of a module below the package ("" is the package itself)."""
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Yield (module of this package, the name that it has here) for each import, "" where that is not a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("mirflow."):
                    yield alias.name.removeprefix("mirflow."), alias.asname or ""
        elif isinstance(node, ast.ImportFrom) and _is_own(node):
            base = _absolute(node, module)
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                if _file(inner).is_file():
                    yield inner, alias.asname or alias.name
                elif base:
                    yield base, ""


def _is_own(node: ast.ImportFrom) -> bool:
    return node.level > 0 or (node.module or "").partition(".")[0] == "mirflow"


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Return the module that is imported from, below the package."""
    if not node.level:
        return (node.module or "").removeprefix("mirflow").lstrip(".")
    package = module.split(".") if _file(module).name == "__init__.py" else module.split(".")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *filter(None, [node.module])])


def _canonical(node: ast.AST, aliases: set[str]) -> str:
    """Return a syntax tree as text that is equal for equal code, in all versions of Python."""
    if isinstance(node, ast.ImportFrom) and _is_own(node):
        return ""  # what it leads to is hashed by itself
    if isinstance(node, ast.Name) and node.id in aliases:
        return "Name(module)"
    parts = []
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "kind", "ctx"):
            continue
        if name == "body" and isinstance(value, list):
            value = value[_has_docstring(node) :]
        if value is None or value == []:  # what newer versions of Python add is empty where it is not used
            continue
        values = value if isinstance(value, list) else [value]
        texts = [_canonical(one, aliases) if isinstance(one, ast.AST) else repr(one) for one in values]
        parts.append(f"{name}=[{','.join(filter(None, texts))}]")
    return f"{type(node).__name__}({','.join(parts)})"


def _has_docstring(node: ast.AST) -> bool:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
