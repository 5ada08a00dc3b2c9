"""The whole embedded job as one plain program: the floor that the workflow is measured against.

The same functions, the same files with the same bytes, but no Snakemake, no rules, no reruns: one process per core, in
which everything is imported and compiled once, and each file of a track is decoded once.
"""

import multiprocessing
from pathlib import Path

from mirflow import artifacts, audio, beats, full_mix, info, registry, stems, warmup
from mirflow.commands._feature import fragment
from mirflow.dsp import onsets, separation

STEM_FORMAT, BITRATE = "mp3", 192  # as in config/config.yaml


def run(tracks: dict[str, Path], results: Path, processes: int) -> None:
    """Make the results of all tracks (id → source)."""
    warmup.run()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.starmap(make, [(track, source, results) for track, source in tracks.items()], chunksize=1)


def make(track: str, source: Path, results: Path) -> None:
    """Make everything of one track."""
    folder, name = results / track, track.rpartition("/")[2]
    flac, features = folder / "full_mix.flac", folder / "features"
    records = {
        "source": folder / "source.json",
        "stems": folder / "stems.json",
        "beats": folder / "rhythm/beats.json",
    }
    folder.mkdir(parents=True)
    artifacts.write_json(records["source"], full_mix.make(source, flac))
    mix = audio.read(flac)

    paths = {stem: folder / f"{stem}.{STEM_FORMAT}" for stem in registry.STEMS}
    written = stems.write(stems.separate(mix), mix.rate, list(paths.values()), STEM_FORMAT, BITRATE)
    artifacts.write_json(records["stems"], {"backend": "dsp", "version": separation.VERSION} | written)

    activations = folder / "rhythm/beat_activations.npz"
    beats.activations(mix, {}).save(activations)
    heard = {"backend": "dsp", "version": beats.VERSION}
    artifacts.write_json(folder / "rhythm/beat_activations.json", heard)
    grid = beats.DECODERS["hmm"](beats.Activations.load(activations))
    artifacts.write_json(records["beats"], {**heard, "decoder": "hmm"})
    grids = {
        "beats": (folder / f"{name}.BEATS_GRID", grid.beats),
        "downbeats": (folder / f"{name}.DOWNBEATS", grid.downbeats),
        "onsets": (folder / f"{name}.ONSETS", onsets.detect(mix.mono(), mix.rate).times),
    }
    for path, times in grids.values():
        artifacts.write_times(path, times)

    inputs = {"full_mix": mix} | {stem: audio.read(path) for stem, path in paths.items()}
    inputs |= {key: artifacts.read_times(path) for key, (path, _) in grids.items()}
    for feature in registry.features():
        settings = {setting.name: setting.default for setting in feature.settings}
        artifacts.write_json(features / f"{feature.name}.json", fragment(feature, inputs, settings))
    info.update(folder / f"{name}.INFO", sorted(features.glob("*.json")), records)
