"""Make the exports that trainers then load: of tracks and of crops, of good and strange files.

python trees.py FOLDER

Where real music lies beside the repository (../shared/eval), it is exported as well.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mutagen
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conftest import RATE, REPOSITORY, SHARED, loop, write  # noqa: E402

# What is made once; all splits have tracks then, with or without the real music. The loaders are given sounds of 65536
# samples.
SETTINGS = (
    "crops={mode: exact, length: 65536, stems: true}",
    "split={validation: 0.2, test: 0.15, seed: 0}",
)
# What is exported → settings of the export.
KINDS = {"tracks": {}, "crops": {"crops": True, "prompt": "keys"}, "stems": {"crops": True, "sound": "other"}}
TAGS = {
    "Bass.flac": {"artist": "Björk feat. Nobody", "genre": "House; Electronic", "date": "1997"},
    "train.flac": {"artist": "Bjork", "title": "Train", "genre": "Trip-Hop"},
    "v1.2 mix. final.flac": {"artist": "AC/DC", "title": 'What "is" it? 🎵'},
    "5.1.flac": {"artist": "The Choir", "genre": "Classical", "date": "2003-05-01"},
}


def piece(number: int, seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Return a loop that is another recording than those of other numbers: each is faster and higher."""
    speed = 2 ** (number / 12)
    played = loop(seconds * speed + 0.1, rate, channels)
    at = np.arange(int(seconds * rate)) * speed
    return np.stack([np.interp(at, np.arange(len(played)), channel) for channel in played.T], axis=1)


def library(root: Path) -> None:
    """Write music of all kinds: its truth does not matter here, only what becomes of its files."""
    shutil.copytree(REPOSITORY / "demo", root / "demo", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for folder, pattern in (("dev30", "*/mix.*"), ("clips", "*.ogg")):
        for file in sorted((SHARED / "eval" / folder).glob(pattern)):
            name = file.parent.name + file.suffix if folder == "dev30" else file.name
            (root / folder).mkdir(exist_ok=True)
            shutil.copy(file, root / folder / name)
    odd = {
        "Bass.flac": piece(0, 12), "drums.wav": 0.8 * piece(1, 10), "v1.2 mix. final.flac": 0.7 * piece(2, 9),
        "Кино/Группа крови — живьём.flac": 0.6 * piece(3, 11), "mono.wav": piece(4, 8, channels=1),
        "5.1.flac": 0.5 * piece(5, 10, channels=6), "train.flac": 0.9 * piece(6, 7),
        "validation test.flac": 0.9 * piece(7, 7.5), "it's \"quoted\" {x}.flac": piece(8, 6.5),
        "short.wav": piece(9, 0.3), f"{'Lång' * 48}.flac": piece(10, 6.2), "silent.wav": np.zeros((5 * RATE, 2)),
    }  # fmt: skip
    for name, samples in odd.items():
        write(root / "odd" / name, samples)
    write(root / "odd/48 kHz.flac", 0.9 * piece(11, 10, 48000), 48000, subtype="PCM_24")
    write(root / "odd/noise.flac", 0.05 * np.random.default_rng(0).standard_normal((8 * RATE, 2)))
    (root / "odd/bad.mp3").write_text("no music\n" * 100)
    for name, tags in TAGS.items():
        file = mutagen.File(root / "odd" / name)
        file.update(tags)
        file.save()


def main(folder: Path) -> None:
    """Make everything in a folder: music, results, and an export of each kind for each target."""
    from mirflow.export import targets

    music, results = folder / "music", folder / "results"
    if not music.exists():
        library(music)
    command = [sys.executable, "-m", "mirflow"]
    # Its status is not 0, since a track fails.
    run = [*command, "run", "--library", music, "--results", results, "--", "--config", *SETTINGS]
    subprocess.run(run, cwd=REPOSITORY, check=False)
    for kind, settings in KINDS.items():
        for name in targets.names():
            export = [*command, "export", name, "--results", results, "--settings", json.dumps(settings)]
            subprocess.run([*export, "-o", folder / kind / name], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
