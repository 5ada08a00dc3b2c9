"""Stable Audio 3 (train_lora.py, pre_encode_dataset.py) and underfit: a text with the prompt beside each sound."""

import math
from collections.abc import Sequence

from mirflow.export import prompts, readme
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(44100, multiple=4096)  # samples of a frame of the latents
APART = ()
LONGEST = 380.0  # seconds that the models hear

USE = """
| file | holds |
|---|---|
| `<split>/<name>.flac` | a sound of 44.1 kHz, a multiple of 4096 samples long (what is over is cut off at its end) |
| `<split>/<name>.txt` | its prompt; a sound without one is left out by the trainer, without a word |
| `<split>/<name>.json` | its numbers and texts, which underfit reads |
| `<split>/filelist.txt` | the sounds, one a line: only these are trained on |

In a checkout of stable-audio-3, with the path of this directory:

```sh
EXPORT=/path/to/this/directory
uv run python scripts/train_lora.py --model medium-rf --data_dir "$EXPORT/train" --duration {seconds} --output_dir lora
```

`--duration` is in seconds, and the longest sound here has as many; of a longer one a piece is cut at random, a shorter
one is padded. To encode the sounds once instead of in each step:

```sh
uv run python scripts/pre_encode_dataset.py --data_dir "$EXPORT/train" --sample_size {samples} --output_path latents
uv run python scripts/train_lora.py --model medium-rf --data_dir "$EXPORT/train" --encoded_dir latents \\
    --duration {seconds} --output_dir lora
```

In underfit, choose `train` as the dataset. Nothing here has absolute paths: the directory can be moved.
"""


def longest(settings: Settings) -> float:
    """Return what the models hear at once."""
    return LONGEST


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Write a prompt and a JSON file beside each sound, and the list of the sounds."""
    for row in rows:
        beside = row.file.removesuffix(".flac")
        made.write(f"{beside}.txt", row.prompts[0] + "\n")
        made.write_json(f"{beside}.json", about(row, choice))
    for split in SPLITS:
        names = [row.file.partition("/")[2] for row in rows if row.item.split == split]
        if names:
            made.write(f"{split}/filelist.txt", "\n".join(names) + "\n")
    longest_row = max(row.frames for row in rows)
    use = USE.format(seconds=math.ceil(longest_row / FORM.rate), samples=longest_row)
    made.write("README.md", readme.page("Export for Stable Audio 3", use, rows, choice, settings, ("dropped",)))


def about(row: Row, choice: Choice) -> dict:
    """Return what is known of an item: texts and numbers, without nulls."""
    info = row.item.info
    found = {
        "prompt": row.prompts[0],
        "track": row.item.track,
        "genre": ", ".join(prompts.genres(row.item)),
        "key": prompts.key_of(info),
        "time_signature": prompts.metre_of(info),
        **{column.key: info[column.key] for column in choice.columns},
    }
    return {key: value for key, value in found.items() if value not in (None, "")}
