"""Make the exports that trainers then load: of tracks and of crops, of good and strange files.

python trees.py FOLDER

It runs the workflow as users do. Where real music lies beside the repository (../shared/eval), it is exported as well.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conftest import RATE, REPOSITORY, SHARED, loop, write  # noqa: E402

# What is exported → settings. The loaders are given sounds of 65536 samples.
KINDS = {"tracks": (), "crops": ("--", "--config", "crops={mode: exact, length: 65536}")}
VALIDATION, TEST = ("odd/v1.2 mix. final", "odd/mono"), ("odd/validation test",)


def library(root: Path) -> None:
    """Write music of all kinds: its truth does not matter here, only what becomes of its files."""
    shutil.copytree(REPOSITORY / "demo", root / "demo", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for folder, pattern in (("dev30", "*/mix.*"), ("clips", "*.ogg")):
        for file in sorted((SHARED / "eval" / folder).glob(pattern)):
            name = file.parent.name + file.suffix if folder == "dev30" else file.name
            (root / folder).mkdir(exist_ok=True)
            shutil.copy(file, root / folder / name)
    odd = {
        "Bass.flac": loop(12), "drums.wav": 0.8 * loop(10), "v1.2 mix. final.flac": 0.7 * loop(9),
        "Кино/Группа крови — живьём.flac": 0.6 * loop(11), "mono.wav": loop(8, channels=1),
        "5.1.flac": 0.5 * loop(10, channels=6), "train.flac": 0.9 * loop(7), "validation test.flac": 0.9 * loop(7.5),
        "it's \"quoted\" {x}.flac": loop(6.5), "short.wav": loop(0.3), f"{'Lång' * 48}.flac": loop(6.2),
        "silent.wav": np.zeros((5 * RATE, 2)),
    }  # fmt: skip
    for name, samples in odd.items():
        write(root / "odd" / name, samples)
    write(root / "odd/48 kHz.flac", 0.9 * loop(10, 48000), 48000, subtype="PCM_24")
    write(root / "odd/noise.flac", 0.05 * np.random.default_rng(0).standard_normal((8 * RATE, 2)))
    (root / "odd/bad.mp3").write_text("no music\n" * 100)


def split(results: Path) -> None:
    """Say which tracks are for validation and for testing, as an .INFO does."""
    for name, tracks in (("validation", VALIDATION), ("test", TEST)):
        for track in tracks:
            path = results / track / f"{track.rpartition('/')[2]}.INFO"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"split": name}))


def run(*arguments: str) -> None:
    """Run mirflow; a failed track is expected."""
    subprocess.run([sys.executable, "-m", "mirflow", "run", *arguments], cwd=REPOSITORY, check=False)


def main(folder: Path) -> None:
    """Make everything in a folder: music, results, and an export for each target."""
    from mirflow.export import targets

    if not (folder / "music").exists():
        library(folder / "music")
    places = ["--library", str(folder / "music"), "--results", str(folder / "results")]
    run(*places)
    split(folder / "results")
    for kind, settings in KINDS.items():
        for name in targets.names():
            place = folder / kind / name
            run(*places, "--export", name, "--out", str(place), *settings)
            if not (place / "export.json").exists():
                raise SystemExit(f"no export {name} of {kind}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
