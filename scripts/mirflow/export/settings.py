"""What users choose about an export: the section ``export`` of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

MIX = "mix"


@dataclass(frozen=True)
class Settings:
    """The section ``export``, except where the tree goes, and what else of the settings decides an export.

    Attributes
    ----------
    crops : whether the items are crops
    sound : "mix", or the stem that is exported instead
    copy : whether files are copied also where a hard link would do
    numbers : keys to condition on; none means all
    ranges : "registry" or "percentiles", where the range of a number comes from
    nulls : "median" or "reject", what happens where a number does not exist
    prompt : "tags", "prose" or "keys"
    tokens : of T5, the most that a prompt may have
    prompts_per_item : number of prompts
    seed : of the variations of prompts
    sample_size : samples that the model of stable_audio_tools hears at once
    max_seconds : longer items are left out; 0 means the limit of the target
    """

    crops: bool = False
    sound: str = MIX
    copy: bool = False
    numbers: tuple[str, ...] = ()
    ranges: str = "registry"
    nulls: str = "median"
    prompt: str = "tags"
    tokens: int = 128
    prompts_per_item: int = 1
    seed: int = 0
    sample_size: int = 2097152
    max_seconds: float = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Return the settings that a mapping holds; other keys are left out, missing ones take their default."""
        known = {field.name for field in fields(cls)}
        chosen = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**{key: value for key, value in chosen.items() if key in known})
