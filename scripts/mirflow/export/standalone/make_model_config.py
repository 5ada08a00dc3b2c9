"""Add the conditioners of model_config.fragment.json to the configuration of a model.

    python make_model_config.py model_config.json > model_config.with_numbers.json

The configuration is that which belongs to the checkpoint that you fine-tune. Its own conditioners stay as they are.
"""

import json
import os
import sys


def main(path):
    """Print the configuration at `path` with the fragment beside this program added."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "model_config.fragment.json"), encoding="utf-8"
    ) as file:
        fragment = json.load(file)["model"]
    try:
        conditioners = config["model"]["conditioning"]["configs"]
        diffusion = config["model"]["diffusion"]
    except (KeyError, TypeError):
        raise SystemExit(f"{path}: is not the configuration of a conditioned diffusion model") from None
    added = [one for one in fragment["conditioning"]["configs"] if one["id"] not in {own["id"] for own in conditioners}]
    conditioners += added
    ids = diffusion.setdefault("cross_attention_cond_ids", [])
    ids += [one["id"] for one in added if one["id"] not in ids]
    json.dump(config, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
