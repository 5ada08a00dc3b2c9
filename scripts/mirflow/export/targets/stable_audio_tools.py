"""stable-audio-tools: FLAC at 44.1 kHz, dataset configurations, a metadata module, and conditioners for the model."""

from collections.abc import Sequence

from mirflow.export import readme
from mirflow.export.build import Row
from mirflow.export.convert import Form
from mirflow.export.items import SPLITS
from mirflow.export.numbers import Choice
from mirflow.export.settings import Settings
from mirflow.export.standalone import custom_metadata, make_model_config, set_paths, text
from mirflow.export.tree import Tree

VERSION = 2  # raise it when other files come out
FORM = Form(44100)
APART = ()
MODULE = "custom_metadata.py"
CONFIG = "dataset_config{}.json"


def longest(settings: Settings) -> float:
    """Return the length of what the model hears: the numbers of a longer crop would not describe it."""
    return settings.sample_size / FORM.rate if settings.crops else 0.0


def write(made: Tree, rows: Sequence[Row], choice: Choice, settings: Settings) -> None:
    """Write manifest.jsonl, the metadata module, the configurations, and the programs beside them."""
    made.write_lines("manifest.jsonl", [_line(row, settings) for row in rows])
    made.write(MODULE, f"{text(custom_metadata)}\n\nget_custom_metadata = Metadata(__file__)\n")
    for split in SPLITS:
        if any(row.item.split == split for row in rows):
            is_train = split == SPLITS[0]
            made.write_json(
                CONFIG.format("" if is_train else f".{split}"), _dataset(made, split, settings), with_paths=True
            )
    made.write_json("model_config.fragment.json", fragment(choice))
    made.write("make_model_config.py", text(make_model_config))
    made.write("set_paths.py", text(set_paths))
    made.write(
        "README.md",
        readme.page(
            "Export for stable-audio-tools",
            _use(rows, settings),
            rows,
            choice,
            settings,
            ("ranges", "medians", "dropped"),
        ),
    )


def _line(row: Row, settings: Settings) -> dict:
    """Return a line of the manifest; start and lengths are in frames of the exported sound."""
    item = row.item
    return {
        "file": row.file,
        "track": item.track,
        **({"crop": item.crop} if item.crop is not None else {}),
        "split": item.split,
        **({"duplicate_group": group} if (group := item.track_info.get("duplicate_group")) is not None else {}),
        "sample_rate": FORM.rate,
        "start": round(item.start * FORM.rate),
        "frames": row.frames,
        "valid_frames": row.valid,
        "track_frames": round(item.total * FORM.rate),
        **({"gain_db": round(row.gain_db, 4)} if row.gain_db else {}),
        "numbers": row.numbers,
        "prompt": row.prompts[0],
        "prompts": row.prompts,
    }


def _dataset(made: Tree, split: str, settings: Settings) -> dict:
    """Return the configuration of a dataset. An incomplete last batch is kept: without it small sets would be empty."""
    return {
        "dataset_type": "audio_dir",
        "datasets": [
            {"id": f"mirflow_{split}", "path": made.path(f"{split}/"), "custom_metadata_module": made.path(MODULE)}
        ],
        "random_crop": split == SPLITS[0] and not settings.crops,
        "drop_last": False,
    }


def fragment(choice: Choice) -> dict:
    """Return what is added to the configuration of a model.

    All conditioners go to the cross-attention: in global_cond_ids they would change the shape of a weight, and the
    trainer would drop that of the checkpoint without a word.
    """
    conditioners = [
        {"id": name, "type": "number", "config": {"min_val": low, "max_val": high}}
        for name, (low, high) in choice.conditioners.items()
    ]
    ids = [one["id"] for one in conditioners]
    return {"model": {"conditioning": {"configs": conditioners}, "diffusion": {"cross_attention_cond_ids": ids}}}


def _use(rows: Sequence[Row], settings: Settings) -> str:
    validation = any(row.item.split == SPLITS[1] for row in rows)
    files = "`dataset_config.json`, `dataset_config.validation.json`" if validation else "`dataset_config.json`"
    val = ' \\\n    --val-dataset-config "$EXPORT/dataset_config.validation.json"' if validation else ""
    longer = sum(row.frames > settings.sample_size for row in rows)
    warning = (
        f"\n{longer} items are longer than the {settings.sample_size} samples that the model hears at once"
        " (`export.sample_size`): the trainer cuts a piece of them at random, and their numbers and prompts are those"
        " of the whole item. With crops (the setting `crops`) they are those of what is heard.\n"
        if longer
        else ""
    )
    return f"""
| file | holds |
|---|---|
| {files} | what the trainer reads first; it has absolute paths |
| `custom_metadata.py`, `manifest.jsonl` | prompt, numbers, and the true place in the track, of every file |
| `model_config.fragment.json` | conditioners for all numbers |

## Training

In this directory, with a checkout of stable-audio-tools (`train.py` is only there, not in the package that pip
installs), and with the configuration and the checkpoint of the model that you fine-tune:

```sh
EXPORT=$PWD
python set_paths.py          # needed only if this directory was moved or copied
python make_model_config.py /path/to/model_config.json > /path/to/model_config.numbers.json
cd /path/to/stable-audio-tools
python train.py --name mirflow --save-dir /path/to/runs \\
    --dataset-config "$EXPORT/dataset_config.json"{val} \\
    --model-config /path/to/model_config.numbers.json --pretrained-ckpt-path /path/to/model.ckpt \\
    --batch-size 8 --num-workers 4
```

- `--num-workers` must be at least 1.
- It logs to Weights & Biases; with `WANDB_MODE=offline` in the environment it needs no account there.
- Write checkpoints somewhere else: a later export replaces this directory, and refuses to if it holds other files.
- stable-audio-tools 0.0.19 wants the padding mask in a list, and gets it so. For its `pre_encode.py`, and for versions
  that want the mask itself, set `MIRFLOW_PADDING_MASK=bare` in the environment.
- The new conditioners begin at random: give them some thousand steps.
{warning}
`--pretrained-ckpt-path` keeps all weights of the checkpoint, because the numbers are added to the cross-attention. The
model's own `prompt`, `seconds_start` and `seconds_total` come from the manifest too.
"""
