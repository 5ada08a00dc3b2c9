"""What stable-audio-tools conditions on, for every sound of this export: the custom_metadata_module of its datasets.

It needs nothing but Python, and can be pickled, so that all ways to start workers work (fork, spawn, forkserver). Files
that are not in manifest.jsonl are rejected. A manifest that is damaged or empty is an error when this module is
imported, since the loader would hide a later one and train on other files.
"""

import json
import math
import operator
import os
import random
import runpy

MANIFEST = "manifest.jsonl"
# In training from sounds, stable-audio-tools 0.0.19 takes padding_mask[0]: "list" gives it a list. Its pre_encode.py,
# and other versions, want the mask itself: "bare".
PADDING_MASK = os.environ.get("MIRFLOW_PADDING_MASK", "list")


class Metadata:
    """A function of the loader's information about a sound, and the sound; returns what is to be known of it.

    Parameters
    ----------
    path : of this module; the manifest lies beside it
    """

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.root = os.path.dirname(self.path)
        self.items = read(os.path.join(self.root, MANIFEST))
        if PADDING_MASK not in ("list", "bare"):
            raise ValueError(f"MIRFLOW_PADDING_MASK is list or bare, not {PADDING_MASK!r}")

    def __call__(self, info, audio):
        """Return prompt, numbers, true position and length of the track; a rejection for files of somebody else."""
        item = self.find(info.get("path", ""))
        if item is None:
            return {"__reject__": True}
        rate, frames = item["sample_rate"], item["frames"]
        # Where the loader has cut a piece out of a sound that is longer than the model's sample_size.
        offset = round((info.get("timestamps") or (0.0, 1.0))[0] * frames)
        prompts = item["prompts"]
        found = dict(item["numbers"])
        found["prompt"] = random.choice(prompts) if item["split"] == "train" else prompts[0]
        found["seconds_start"] = (item["start"] + offset) / rate
        found["seconds_total"] = item["track_frames"] / rate
        mask = info.get("padding_mask")
        if hasattr(mask, "clone"):
            mask = mask.clone()
            mask[max(0, item["valid_frames"] - offset) :] = 0
            found["padding_mask"] = [mask] if PADDING_MASK == "list" else mask
        return found

    def find(self, path):
        """Return the item of a sound, None where it is not of this export."""
        for root, name in (
            (self.root, os.path.abspath(path)),
            (os.path.realpath(self.root), os.path.realpath(path)),
        ):
            item = self.items.get(os.path.relpath(name, root).replace(os.sep, "/"))
            if item is not None:
                return item
        return None

    def __reduce__(self):
        """Pickle the name of this file; what unpickles it reads the manifest again."""
        return operator.getitem, (_File(self.path), "get_custom_metadata")


class _File:
    """The content of a module, pickled as the name of its file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return runpy.run_path, (self.path,)


def read(path):
    """Read and check a manifest: file → item.

    Raises
    ------
    ValueError : it is missing, empty or damaged; the message is one line
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
    items, splits, keys = {}, {}, None
    for number, line in enumerate(lines, start=1):
        try:
            item = json.loads(line)
            flaw = check(item)
        except ValueError as error:
            flaw = str(error)
        if flaw is None and keys not in (None, set(item["numbers"])):
            flaw = "has other numbers than the lines before"
        if flaw is None and item["file"] in items:
            flaw = f"lists {item['file']} again"
        for group in ("track", "duplicate_group"):
            if flaw is None and item.get(group) is not None:
                split = splits.setdefault((group, item[group]), item["split"])
                if split != item["split"]:
                    flaw = f"{group} {item[group]!r} is in two splits, {split} and {item['split']}"
        if flaw is not None:
            raise ValueError(f"{path}: line {number}: {flaw}")
        items[item["file"]], keys = item, set(item["numbers"])
    if not items:
        raise ValueError(f"{path}: has no items")
    return items


def check(item):
    """Return what is wrong with a line of the manifest, None when it is good."""
    if not isinstance(item, dict):
        return "no JSON object"
    for key, kind in (
        ("file", str),
        ("track", str),
        ("split", str),
        ("prompt", str),
        ("prompts", list),
        ("numbers", dict),
    ):
        if not isinstance(item.get(key), kind):
            return f"{key} is missing, or is no {kind.__name__}"
    for key, least in (("sample_rate", 1), ("frames", 1), ("valid_frames", 0), ("track_frames", 1), ("start", 0)):
        value = item.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            return f"{key} is missing, or is no whole number from {least} on"
    prompts = [item["prompt"], *item["prompts"]]
    if not item["prompts"] or not all(isinstance(text, str) and text.strip() for text in prompts):
        return "a prompt is empty"
    for key, value in item["numbers"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"the number {key} is {value!r}"
    return None
