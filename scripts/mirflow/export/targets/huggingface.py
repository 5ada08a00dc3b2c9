"""Hugging Face AudioFolder: a folder for each split, with the sounds and metadata.jsonl."""

from collections.abc import Sequence

from mirflow.export import readme
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(44100)
APART = ()

# What `datasets` reads at the top of a README.md: which files belong to which split. Else it would guess from names.
CARD = """---
configs:
- config_name: default
  data_files:
{splits}
  drop_labels: true
---

"""
USE = """
Each split is a folder with the sounds and `metadata.jsonl`: `file_name`, `text` (the prompt), `track`, the place in the
track, and all numbers.

```python
from datasets import load_dataset  # pip install "datasets[audio]"

dataset = load_dataset("audiofolder", data_dir="/path/to/this/directory")
```

Nothing here has absolute paths: the directory can be moved, and uploaded as it is.
"""


def longest(settings: Settings) -> float:
    """Return 0: there is no limit."""
    return 0.0


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Write metadata.jsonl of each split, and a README.md with the card that `datasets` reads."""
    present = [split for split in SPLITS if any(row.item.split == split for row in rows)]
    for split in present:
        lines = [_line(row, settings) for row in rows if row.item.split == split]
        made.write_lines(f"{split}/metadata.jsonl", lines)
    splits = "\n".join(f"  - split: {split}\n    path: {split}/**" for split in present)
    page = readme.page("Export as AudioFolder", USE, rows, choice, settings, ("medians", "dropped"))
    made.write("README.md", CARD.format(splits=splits) + page)


def _line(row: Row, settings: Settings) -> dict:
    """Return a line; the type of each column is the same in all lines and all splits.

    `datasets` refuses splits of which a column is always null in one of them. So a second number says where one does
    not exist, as for conditioners.
    """
    item = row.item
    return {
        "file_name": row.file.partition("/")[2],
        "text": row.prompts[0],
        **({"texts": row.prompts} if settings.prompts_per_item > 1 else {}),
        "track": item.track,
        **({"crop": item.crop} if item.crop is not None else {}),
        "start_seconds": float(round(item.start, 6)),
        "seconds": float(round(row.frames / FORM.rate, 6)),
        "track_seconds": float(round(item.total, 6)),
        **{key: float(value) for key, value in row.numbers.items()},
    }
