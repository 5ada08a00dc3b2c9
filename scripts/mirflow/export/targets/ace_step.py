"""ACE-Step 1.5 and Side-Step: dataset.json with captions and measured tempo, key and metre; texts beside the sounds."""

from collections.abc import Sequence

from mirflow.export import prompts, readme
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.standalone import set_paths, text
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(48000)
APART = ("bpm", "key", "metre")  # which dataset.json has
LONGEST = 240.0  # seconds, after which the trainer cuts a sound
INSTRUMENTAL = "[Instrumental]"
# The trainer takes empty lyrics for "[Instrumental]". A section without words says that somebody sings.
UNKNOWN_LYRICS = "[Verse]"
BPM_RANGE = (30, 300)  # what the trainer takes; it has no other values in its vocabulary
METRES = ("3/4", "4/4", "6/8")  # of those that it takes, the ones that are certain (see `prompts.METRES`)

USE = """
| file | holds |
|---|---|
| `dataset.json` | for each sound its caption, genre, lyrics, tempo, key, metre and length, for the split train |
| `<split>/<name>.flac` | a sound of 48 kHz |
| `<split>/<name>.caption.txt`, `.lyrics.txt` | the same caption and lyrics, for the scan of a folder |

- **ACE-Step 1.5**: in the tab for training, load `dataset.json` and preprocess; or scan the folder `train`.
- **Side-Step**, in a checkout of it, with the checkpoints of ACE-Step:

```sh
EXPORT=/path/to/this/directory
uv run python train.py fixed --checkpoint-dir /path/to/checkpoints --dataset-dir tensors --output-dir lora \\
    --preprocess --dataset-json "$EXPORT/dataset.json" --tensor-output tensors
uv run python train.py fixed --checkpoint-dir /path/to/checkpoints --dataset-dir tensors --output-dir lora
```

`dataset.json` has absolute paths: run `python set_paths.py` after this directory was moved or copied.

Lyrics are `[Instrumental]` only where the stem of the vocals is silent. Elsewhere somebody may sing, and what is sung
is not known: `[Verse]` stands for it. Put the words there, if you have them. A tempo or key that was not measured is
left empty.
"""


def longest(settings: Settings) -> float:
    """Return how much of a sound the trainer takes."""
    return LONGEST


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Write dataset.json, one for each split, and a caption and lyrics beside each sound."""
    for row in rows:
        beside, sample = row.file.removesuffix(".flac"), _sample(made, row)
        made.write(f"{beside}.caption.txt", sample["caption"] + "\n")
        made.write(f"{beside}.lyrics.txt", sample["lyrics"] + "\n")
    for split in SPLITS:
        samples = [_sample(made, row) for row in rows if row.item.split == split]
        if samples:
            name = "dataset.json" if split == SPLITS[0] else f"dataset.{split}.json"
            made.write_json(name, {"metadata": _metadata(split, samples), "samples": samples}, with_paths=True)
    made.write("set_paths.py", text(set_paths))
    made.write("README.md", readme.page("Export for ACE-Step 1.5", USE, rows, choice, settings))


def _metadata(split: str, samples: list[dict]) -> dict:
    return {
        "name": f"mirflow_{split}",
        "custom_tag": "",
        "tag_position": "prepend",
        "created_at": "",
        "num_samples": len(samples),
        "all_instrumental": all(sample["is_instrumental"] for sample in samples),
        "genre_ratio": 0,
    }


def _sample(made: Tree, row: Row) -> dict:
    info = row.item.info
    bpm, metre = prompts.tempo_of(info), prompts.metre_of(info)
    instrumental = prompts.has_silent_vocals(info)
    words = row.item.known("track_metadata_lyrics") if row.item.crop is None else None
    name = row.file.rpartition("/")[2]
    return {
        "id": name.removesuffix(".flac"),
        "audio_path": made.path(row.file),
        "filename": name,
        "caption": row.prompts[0],
        "genre": ", ".join(prompts.genres(row.item)),
        "lyrics": INSTRUMENTAL
        if instrumental
        else words
        if isinstance(words, str) and words.strip()
        else UNKNOWN_LYRICS,
        "bpm": round(bpm) if bpm is not None and BPM_RANGE[0] <= round(bpm) <= BPM_RANGE[1] else None,
        "keyscale": prompts.key_of(info) or "",
        "timesignature": metre[0] if metre in METRES else "",
        "duration": max(1, round(row.frames / FORM.rate)),
        "language": "unknown",
        "is_instrumental": instrumental,
        "custom_tag": "",
        "labeled": True,
        "prompt_override": None,
    }
