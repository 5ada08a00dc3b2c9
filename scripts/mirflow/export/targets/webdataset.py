"""WebDataset: shards, tar files in which each sound is followed by a JSON file with its prompt and numbers."""

import json
import tarfile
from collections.abc import Iterator, Sequence

from mirflow.export import readme, tree
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(44100)
APART = ()
SHARD_BYTES, SHARD_ITEMS = 1 << 30, 2000  # a shard ends after either

USE = """
| file | holds |
|---|---|
| `<split>/000000.tar` ... | `<key>.flac` and `<key>.json` of each item: prompt as `text`, numbers, place in the track |

```python
import io

import soundfile  # pip install webdataset soundfile
import webdataset

shards = "/path/to/this/directory/train/{{000000..{last:06d}}}.tar"
for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
    sound, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")  # [frame, channel], 44100
    prompt = sample["json"]["text"]
```

For the dataset type `wds` of stable-audio-tools, the path of the dataset is that of `train`. Keys have no dot, which
would end them. Nothing here has absolute paths: the directory can be moved.
"""


def longest(settings: Settings) -> float:
    """Return 0: there is no limit."""
    return 0.0


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Move the sounds into shards."""
    last = 0
    for split in SPLITS:
        mine = [row for row in rows if row.item.split == split]
        for number, shard in enumerate(_shards(made, mine)):
            name = f"{split}/{number:06d}.tar"
            with tarfile.open(made.root / name, "w", format=tarfile.GNU_FORMAT) as file:
                for row in shard:
                    made.archive(row.file, name, file)
                    about = json.dumps(_about(row, settings), ensure_ascii=False, allow_nan=False)
                    tree.add(file, f"{row.item.name}.json", about.encode())
            last = number if split == SPLITS[0] else last
    made.write(
        "README.md",
        readme.page("Export as WebDataset", USE.format(last=last), rows, choice, settings, ("medians", "dropped")),
    )


def _shards(made: Tree, rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each shard."""
    shard, size = [], 0
    for row in rows:
        if len(shard) == SHARD_ITEMS or size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += made.sounds[row.file]["bytes"]
    if shard:
        yield shard


def _about(row: Row, settings: Settings) -> dict:
    """Return what is known of an item: the same names for all items, no null, and lists of one length.

    PyTorch refuses to make a batch of anything else, and the loader of stable-audio-tools makes batches of all of this.
    """
    item, count = row.item, settings.prompts_per_item
    return {
        "text": row.prompts[0],
        **({"texts": [row.prompts[n % len(row.prompts)] for n in range(count)]} if count > 1 else {}),
        "track": item.track,
        **({"crop": item.crop} if item.crop is not None else {}),
        "start_seconds": round(item.start, 6),
        "seconds": round(row.frames / FORM.rate, 6),
        "track_seconds": round(item.total, 6),
        "numbers": {key: float(value) for key, value in row.numbers.items()},
    }
