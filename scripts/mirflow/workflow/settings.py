"""The settings: what the user chose, checked before anything runs."""

import contextlib
import difflib
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mirflow import features
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Feature
from mirflow.core.layout import CONFIG
from mirflow.labels import embedding, heads
from mirflow.library.scan import reads_as_pattern
from mirflow.metadata import services
from mirflow.models import accelerator

MAX_MINUTES = "MIRFLOW_MAX_MINUTES"  # environment variable
ACOUSTID_KEY = "ACOUSTID_API_KEY"  # environment variable
METADATA = ("tags", "fingerprint", "duplicates")  # what `skip` can leave out beside features


def schema() -> dict:
    """Return the JSON schema of the settings, with what the features declare filled in."""
    import yaml

    content = yaml.safe_load((CONFIG / "config.schema.yaml").read_text())
    content["properties"]["skip"]["items"]["enum"] = [
        *(feature.name for feature in features.all_features()),
        *METADATA,
    ]
    content["properties"]["features"]["properties"] = {
        feature.name: {"type": "object", "additionalProperties": False, "properties": properties}
        for feature in features.of_modules()
        if (properties := _properties(feature)) and not feature.section
    }
    return content


def _properties(feature: Feature) -> dict[str, dict]:
    """Return what the schema says of a feature's own settings."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    found = {
        setting.name: {"type": kinds[type(setting.default)]}
        | ({"minimum": setting.bounds[0], "maximum": setting.bounds[1]} if setting.bounds else {})
        for setting in feature.settings
    }
    return found | ({"device": {"enum": list(accelerator.CHOICES)}} if feature.models else {})


def merged(files: Iterable[Path] = ()) -> dict:
    """Return the settings of config/config.yaml with those of `files` in their place, as Snakemake merges them.

    Raises
    ------
    MirflowError : a file cannot be read, or holds no settings
    """
    import yaml

    config: dict = {}
    for file in (CONFIG / "config.yaml", *files):
        try:
            content = yaml.safe_load(Path(file).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise MirflowError(f"{file}: cannot be read as settings ({' '.join(str(error).split())})") from error
        if not isinstance(content or {}, dict):
            raise MirflowError(f"{file}: settings are expected, as `name: value`")
        _merge(config, content or {})
    return config


def given(options: Iterable[str]) -> dict:
    """Return the settings that Snakemake gets by these options of its command line.

    Raises
    ------
    MirflowError : a file of settings cannot be read
    """
    import yaml

    files, pairs, option = [], {}, ""
    for one in options:
        if one.startswith("-"):
            option, _, one = one.partition("=")
        if one and option in ("--configfile", "--configfiles"):
            files.append(Path(one))
        elif option in ("--config", "-C") and "=" in one:
            name, _, value = one.partition("=")
            with contextlib.suppress(yaml.YAMLError):  # Snakemake will say what is wrong with it
                pairs[name] = yaml.safe_load(value)
    config = merged(files)
    _merge(config, pairs)
    return config


def _merge(config: dict, more: dict) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value


def read(config: dict, described: dict | None = None) -> None:
    """Turn texts into the numbers and truth values that the schema wants, in place.

    Snakemake leaves all that stands inside of ``--config stems="{bitrate: 128}"`` as text, and ``warm=false`` too.
    """
    for key, known in (described or schema()).get("properties", {}).items():
        value = config.get(key)
        if isinstance(value, dict):
            read(value, known)
        elif isinstance(value, str) and known.get("type") in _FROM_TEXT:
            with contextlib.suppress(ValueError, KeyError):
                config[key] = _FROM_TEXT[known["type"]](value)


_FROM_TEXT = {"integer": int, "number": float, "boolean": lambda text: {"true": True, "false": False}[text.lower()]}


def check(config: dict) -> None:
    """Refuse settings that are unknown or have an impossible value.

    Raises
    ------
    MirflowError : all problems, a line each, with the nearest known name for an unknown one
    """
    import jsonschema

    errors = jsonschema.Draft202012Validator(schema()).iter_errors(config)
    problems = [
        problem for error in sorted(errors, key=lambda e: list(map(str, e.path))) for problem in _explain(error)
    ]
    if problems:
        raise MirflowError("\n".join(["settings:", *(f"  {problem}" for problem in problems)]))
    _check_lookup(config)
    heads.check_optional(config.get("labels", {}).get("optional", []))
    for name in config.get("labels", {}).get("embeddings", []):
        embedding.network_entry(embedding.of_stem(name)[0])


def _check_lookup(config: dict) -> None:
    """Check that there is what the services want to know.

    Raises
    ------
    MirflowError : it is missing
    """
    chosen = config.get("metadata", {})
    if chosen.get("lookup", "none") == "none":
        return
    contact = chosen.get("contact", "")
    if not contact.strip() or not contact.isprintable() or not contact.isascii():
        raise MirflowError("metadata.contact: MusicBrainz wants your e-mail address or web page for look-ups")
    if "tags" in config.get("skip", []):
        raise MirflowError("metadata.lookup: the tags are needed for it, but skip leaves them out")
    if chosen["lookup"] == "acoustid" and not (chosen.get("acoustid_key") or os.environ.get(ACOUSTID_KEY)):
        raise MirflowError(
            f"metadata.acoustid_key: AcoustID wants a key of your own (or the environment variable {ACOUSTID_KEY})"
        )


def export(config: dict) -> None:
    """Hand all commands the settings that are no parameters of their rules: they make no file out of date.

    Raises
    ------
    MirflowError : the folder for unfinished files is not there
    """
    os.environ[MAX_MINUTES] = str(config["max_minutes"])
    os.environ.pop(artifacts.SCRATCH, None)
    if config["scratch"]:
        scratch = path(config["scratch"])
        if not scratch.is_dir():
            raise MirflowError(f"scratch: {scratch} is no directory")
        os.environ[artifacts.SCRATCH] = str(scratch.absolute())
    chosen = config.get("metadata", {})
    os.environ[services.CONTACT] = chosen.get("contact", "")
    os.environ[services.KEY] = chosen.get("acoustid_key") or os.environ.get(ACOUSTID_KEY, "")


def path(text: str) -> Path:
    """Return a path of the user, with ~ expanded.

    Raises
    ------
    MirflowError : it is empty
    """
    if not text:
        raise MirflowError("the path is empty")
    return Path(text).expanduser()


def directory(where: str, name: str = "results") -> str:
    """Return a directory of the setting `name`, as it stands in all paths of artifacts.

    Raises
    ------
    MirflowError : when the path holds what Snakemake reads as a wildcard or a path variable
    """
    if not where:
        raise MirflowError(f"{name}: a directory is expected, the setting is empty")
    where = str(path(where))  # without a trailing slash
    if where.startswith("-"):  # an option, for the commands that get it
        where = os.path.abspath(where)
    if reads_as_pattern(Path(where)):
        raise MirflowError(f"{name}: {where!r} must not hold braces, <names> or control characters")
    return where


def options(feature: Feature, config: dict) -> str:
    """Return a feature's settings as arguments of its command: only those that differ from the default."""
    chosen = feature.chosen(config)
    return " ".join(
        f"--set-{setting.name} {shlex.quote(str(chosen[setting.name]))}"
        for setting in feature.settings
        if chosen[setting.name] != setting.default
    )


def _explain(error: Any) -> list[str]:
    place = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return [f"{place}{'.' if place else ''}{key}: no such setting{_nearest(key, known)}" for key in unknown]
    if error.validator == "enum":
        return [
            f"{place}: {error.instance!r} is none of {', '.join(map(str, error.validator_value))}"
            f"{_nearest(error.instance, error.validator_value)}"
        ]
    if place == "skip":
        return [f"skip: a list of features is expected, for example [chroma, tempo]; got {error.instance!r}"]
    return [f"{place}: {error.message}"]


def _nearest(name: Any, known: list) -> str:
    near = difflib.get_close_matches(str(name), [str(item) for item in known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
