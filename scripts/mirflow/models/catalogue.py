"""The catalogue of trained models, config/models.yaml: the files of each model, and what the model is for.

Each file is a target of the workflow, ``<models>/<name>``; `mirflow.models.download.fetch` fetches and checks it.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mirflow.core.errors import MirflowError
from mirflow.core.layout import CONFIG, EXTRA_STEMS, STEMS

CATALOGUE = CONFIG / "models.yaml"
OWN_ENTRIES = "models.yaml"  # in the models' folder: the user's own entries
FOLDER = "MIRFLOW_MODELS"  # environment variable: the models' folder; the workflow sets it from the setting `models`


@dataclass(frozen=True)
class File:
    """One file of a model, as the catalogue describes it; `size` is in bytes, an empty `sha256` means not known."""

    name: str
    url: str
    model: str
    sha256: str = ""
    size: int | None = None
    licence: str = ""
    licence_note: str = ""


def folder() -> Path:
    """Return the directory of the models' files."""
    return Path(os.environ.get(FOLDER) or "models").expanduser()


def use(where: str) -> None:
    """Set the directory of the models' files, for this process and all commands that it starts."""
    os.environ[FOLDER] = where


def entries() -> dict[str, dict]:
    """Return all models, those of the catalogue and the user's own: name → entry.

    Raises
    ------
    MirflowError : an entry does not have the form that config/models.yaml explains; names the file, the model, the key
    """
    return _entries(str(folder()))


@cache
def _entries(where: str) -> dict[str, dict]:
    found = _load(CATALOGUE)
    own = Path(where, OWN_ENTRIES)
    if own.is_file():
        found = found | _load(own)
    described: dict[str, dict] = {}
    for entry in found.values():  # two models may share a file
        for file in entry["files"]:
            if described.setdefault(file["name"], file) != file:
                raise MirflowError(f"models.yaml: {file['name']} is described twice, in different ways")
    return found


def _load(path: Path) -> dict[str, dict]:
    import jsonschema
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MirflowError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    for error in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(content):
        place = ".".join(str(part) for part in error.absolute_path)
        raise MirflowError(f"{path}: {place}: {error.message}")
    return content["models"] or {}


_TEXT = {"type": "string", "minLength": 1}
_HEAD_OUTPUTS = ("labels", "keys", "tempo")
_SCHEMA = {
    "type": "object",
    "required": ["models"],
    "additionalProperties": False,
    "properties": {
        "licences": {"type": "object"},
        "models": {
            "type": ["object", "null"],
            # A name that ends like a stem would be that of an embedding of this stem.
            "propertyNames": {"pattern": rf"^(?!.*\.({'|'.join(STEMS)})$)[A-Za-z0-9][\w.-]*$"},
            "additionalProperties": {
                "type": "object",
                "required": ["purpose", "files"],
                "additionalProperties": False,
                "properties": {
                    "purpose": _TEXT,
                    "licence": _TEXT,
                    "licence_note": _TEXT,
                    "files": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name", "url"],
                            "additionalProperties": False,
                            "properties": {
                                "name": {"type": "string", "pattern": r"^[A-Za-z0-9][\w.+-]*$"},
                                "url": {"type": "string", "pattern": "^https?://"},
                                "size": {"type": "integer", "minimum": 1},
                                "sha256": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
                            },
                        },
                    },
                    "network": {
                        "type": "object",
                        "oneOf": [
                            {"required": ["algorithm"], "not": {"required": ["encoder"]}},
                            {"required": ["encoder"], "maxProperties": 1},
                        ],
                        "additionalProperties": False,
                        "properties": {"algorithm": _TEXT, "input": _TEXT, "output": _TEXT, "encoder": _TEXT},
                    },
                    "separator": {
                        "type": "object",
                        "required": ["backend"],
                        "additionalProperties": False,
                        "properties": {
                            "backend": {"enum": ["demucs", "roformer", "scnet", "mdx23c"]},
                            "weights": {
                                "type": "array",
                                "items": {"type": "array", "items": {"type": "number", "minimum": 0}},
                            },
                        },
                        "dependentSchemas": {"weights": {"properties": {"backend": {"const": "demucs"}}}},
                    },
                    "extra_stems": {"type": "array", "items": {"enum": list(EXTRA_STEMS)}},
                    "head": {
                        "type": "object",
                        "required": ["network"],
                        "additionalProperties": False,
                        "oneOf": [{"required": [kind]} for kind in _HEAD_OUTPUTS],
                        "properties": {
                            "network": _TEXT,
                            "stem": {"enum": list(STEMS)},
                            "input": _TEXT,
                            "output": _TEXT,
                            "classes": {"type": "array", "items": _TEXT, "minItems": 1},
                            "labels": _TEXT,
                            "keys": {"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
                            "tempo": _TEXT,
                            "bounds": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                            "optional": {"type": "boolean"},
                        },
                    },
                },
            },
        },
    },
}


def entry(name: str) -> dict:
    """Return the entry of one model.

    Raises
    ------
    MirflowError : there is no model of that name
    """
    if name not in entries():
        raise MirflowError(f"no model {name!r} in {CATALOGUE} or {folder() / OWN_ENTRIES}")
    return entries()[name]


def files(name: str | None = None) -> tuple[File, ...]:
    """Return the files of one model, or of all."""
    if name is None:
        return tuple({file.name: file for model in entries() for file in files(model)}.values())
    about = entry(name)
    licence = {key: about.get(key, "") for key in ("licence", "licence_note")}
    return tuple(File(**file, model=name, **licence) for file in about["files"])


def file(name: str) -> File:
    """Return one file by its name.

    Raises
    ------
    MirflowError : there is no file of that name
    """
    found = [candidate for candidate in files() if candidate.name == name]
    if not found:
        raise MirflowError(f"no file {name!r} in {CATALOGUE} or {folder() / OWN_ENTRIES}")
    return found[0]


def path(name: str) -> list[str]:
    """Return the paths of a model's files, in the order of its entry."""
    return [str(folder() / file.name) for file in files(name)]


def identity(name: str) -> str:
    """Return the names and hashes of a model's files, for the ``params`` of rules.

    Only hashes of the catalogue count. A hash that was recorded at a download appears after the first run has begun,
    and would make that run's own results out of date.
    """
    return " ".join(f"{file.name}:{file.sha256}" for file in files(name))
