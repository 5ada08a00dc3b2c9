"""The fragment that carries a track's texts into its .INFO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.describe import conflicts
from mirflow.describe.prompts import KEY

NAME = "music_flamingo"
VERSION = 1  # raise it when conflicts or the keys change
# What is the same for all texts of a track.
COMMON = ("backend", "backend_version", "heard_seconds", "cut_off_seconds", "reason")


def assemble(
    texts: Mapping[str, str],
    records: Mapping[str, Mapping],
    model: Mapping[str, Any],
    measured: Mapping | None = None,
    tokenizer: Path | None = None,
) -> dict[str, Any]:
    """Return the fragment.

    Parameters
    ----------
    texts : name → text, "" for a silent track
    records : name → how the text was made
    model : its ``name``, and ``files``: name → bytes and sha256
    measured : what the texts are compared with (see `conflicts.find`); None: they are not compared
    tokenizer : T5's tokenizer.json, to count the tokens of each text; None: they are not counted

    Returns
    -------
    ``music_flamingo_<name>`` : the text, None for a silent track
    ``music_flamingo_model`` : its name
    ``music_flamingo_conflicts`` : name → contradictions, for texts that have any; None where nothing can be compared
    """
    content: dict[str, Any] = {KEY + name: text or None for name, text in texts.items()}
    content[f"{KEY}model"] = model["name"]
    if measured is not None:
        found = {name: conflicts.find(text, measured) for name, text in texts.items()}
        some = any(texts.values()) and conflicts.comparable(measured)
        content[f"{KEY}conflicts"] = {name: said for name, said in found.items() if said} if some else None
    origin: dict[str, Any] = {"feature": NAME, "version": VERSION}
    described = [record for record in records.values() if "heard_seconds" in record]
    for key in COMMON:
        values = [record[key] for record in described if key in record]
        if values:
            origin[key] = values[0]
    origin["model"] = _hashes(model)
    origin["texts"] = {name: _how(record) for name, record in records.items()}
    if tokenizer is not None:
        counts = t5_tokens(tokenizer, dict(texts))
        for name, count in counts.items():
            origin["texts"][name]["t5_tokens"] = count
    return {**content, PROVENANCE: origin}


def _hashes(model: Mapping) -> dict[str, str]:
    return {name: file["sha256"] for name, file in model["files"].items()}


def _how(record: Mapping) -> dict[str, Any]:
    how = {"question": record["asked"]["words"]}
    if "heard_seconds" not in record:  # made from the other texts by another model
        how["model"] = _hashes(record["asked"]["model"])
    return how | {key: record[key] for key in ("decoding", "tokens", "finished", "retried") if key in record}


def t5_tokens(tokenizer: Path, texts: Mapping[str, str]) -> dict[str, int]:
    """Count the tokens of each text, including the one that ends it: name → number.

    Raises
    ------
    MirflowError : the tokenizer cannot be read
    """
    counter = load_tokenizer(tokenizer)
    return {name: len(counter.encode(text).ids) for name, text in texts.items()}


def load_tokenizer(path: str | Path) -> Any:
    """Return the tokenizer of a tokenizer.json, which cuts no text and fills none up.

    Raises
    ------
    MirflowError : it cannot be read
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MirflowError(f"describe.tokenizer needs the package tokenizers (envs/flamingo.txt): {error}") from error
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare Exception
        raise MirflowError(f"{path}: is not a tokenizer.json ({error})") from error
    found.no_truncation()
    found.no_padding()
    return found
