"""AudioCraft (MusicGen): manifests data.jsonl, and a JSON file with the music's description beside each sound."""

import hashlib
from collections.abc import Sequence

from mirflow.export import prompts, readme
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS, Item, artists_of
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.standalone import set_paths, text
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(44100)
APART = ()

USE = """
| file | holds |
|---|---|
| `egs/<split>/data.jsonl` | the manifest of a split: path, duration and sampling rate of each sound |
| `<split>/<name>.flac`, `.json` | a sound, and what is known of it: description, key, bpm, genre, moods ... |

Put this into `config/dset/audio/mirflow.yaml` of AudioCraft, with the path of this directory, and train with
`dora run solver=musicgen/musicgen_base_32khz dset=audio/mirflow`:

```yaml
# @package __global__
datasource:
  max_sample_rate: 44100
  max_channels: 2
  train: /path/to/this/directory/egs/train
  valid: /path/to/this/directory/egs/{valid}
  evaluate: /path/to/this/directory/egs/{evaluate}
  generate: /path/to/this/directory/egs/{evaluate}
```

The manifests have absolute paths: run `python set_paths.py` after this directory was moved or copied. `artist` is not a
name, but an id: items of one artist have the same one.
"""


def longest(settings: Settings) -> float:
    """Return 0: the dataset draws pieces of any sound."""
    return 0.0


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Write a JSON file beside each sound, and a manifest for each split."""
    for row in rows:
        made.write_json(f"{row.file.removesuffix('.flac')}.json", _about(row))
    present = [split for split in SPLITS if any(row.item.split == split for row in rows)]
    for split in present:
        lines = [_line(made, row) for row in rows if row.item.split == split]
        made.write_lines(f"egs/{split}/data.jsonl", lines, with_paths=True)
    valid = SPLITS[1] if SPLITS[1] in present else present[0]
    evaluate = SPLITS[2] if SPLITS[2] in present else valid
    made.write("set_paths.py", text(set_paths))
    use = USE.format(valid=valid, evaluate=evaluate)
    made.write("README.md", readme.page("Export for AudioCraft", use, rows, choice, settings))


def _line(made: Tree, row: Row) -> dict:
    return {
        "path": made.path(row.file),
        "duration": row.frames / FORM.rate,
        "sample_rate": FORM.rate,
        "amplitude": None,
        "weight": None,
        "info_path": None,
    }


def _about(row: Row) -> dict:
    """Return all fields of MusicInfo; the dataset raises where one is absent, and takes null."""
    item = row.item
    bpm = prompts.tempo_of(item.info)
    title = item.known("track_metadata_title")
    genres, moods = prompts.genres(item), prompts.labels(item.known("essentia_mood"))
    instruments = prompts.instruments(item)
    return {
        "title": title if isinstance(title, str) else None,  # a model can be conditioned on it: no name of a file
        "artist": _artist(item),
        "key": prompts.key_of(item.info),
        "bpm": round(bpm) if bpm is not None else None,
        "genre": genres[0] if genres else None,
        "moods": moods or None,
        "keywords": genres or None,
        "description": row.prompts[0],
        "name": item.name,
        "instrument": ", ".join(instruments) or None,
    }


def _artist(item: Item) -> str:
    """Return an id of the artist, or of the recording where the artist is not known."""
    artist = next(iter(artists_of(item)), None) or item.track_info.get("duplicate_group") or item.track
    return f"artist-{hashlib.sha256(str(artist).encode(errors='replace')).hexdigest()[:12]}"
