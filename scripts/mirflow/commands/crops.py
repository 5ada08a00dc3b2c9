"""Cut a track into training crops, with their grids and, on request, their stems."""

import argparse
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.core.layout import GRIDS, SERIES, STEMS, TrackFiles
from mirflow.crops import files, folder, plan
from mirflow.timeseries import files as timeseries


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    for grid in GRIDS:
        parser.add_argument(f"--{grid}", type=Path, required=True, metavar="FILE", help="times in seconds")
    parser.add_argument("--stems", type=Path, nargs="*", default=[], metavar="FILE", help=f"{' '.join(STEMS)}: cut too")
    parser.add_argument("--series", type=Path, nargs="*", default=[], metavar="FILE", help=".TIMESERIES.npz: cut too")
    parser.add_argument(
        "--mode", choices=plan.MODES, default="exact", help="crops of one length, or of a number of bars"
    )
    parser.add_argument("--tail", choices=plan.TAILS, default="drop", help="what becomes of the last, shorter piece")
    for name, kind, meaning in (
        ("length", int, "samples of a crop; in mode bars only where there are no downbeats"),
        ("bars", int, "bars of a crop, in mode bars"),
        ("hop-bars", int, "bars from crop to crop; 0: crops do not overlap"),
        ("max-silence", float, "largest share of a crop that may be silence"),
    ):
        default = getattr(plan.Choice, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{meaning} (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="crops/crops.json; the crops come beside it")


def run(arguments: argparse.Namespace) -> None:
    """Plan, write the files of all crops, remove those of an earlier plan, say which there are."""
    mix = audio.read(arguments.full_mix)
    rate, total = mix.rate, mix.samples.shape[1]
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in GRIDS}
    choice = plan.Choice(**{field.name: getattr(arguments, field.name) for field in fields(plan.Choice)})
    planned = plan.plan(mix, beats=grids["beats"], downbeats=grids["downbeats"], choice=choice)
    track = TrackFiles(str(arguments.output.resolve().parents[1]), arguments.full_mix.resolve().parent.name)

    folder.withdraw(track, planned.crops)
    subtype = files.subtype(arguments.full_mix)
    for index, crop in enumerate(planned.crops):
        files.write(track.crop(index), files.cut(mix, crop, rate, total), crop, rate, subtype)
        for name, suffix in GRIDS.items():
            artifacts.write_times(track.crop(index, suffix), files.cut_times(grids[name], crop, rate))
        for series in arguments.series:
            start, duration = crop.start / rate, crop.valid / rate
            timeseries.write(track.crop(index, SERIES), timeseries.cut(series, start, duration), duration)
    gain = _write_stems(arguments.stems, track, planned.crops, rate, total)
    folder.remove_others(track, planned.crops, stems=bool(arguments.stems), series=bool(arguments.series))

    listed = [
        {
            "index": index,
            "file": Path(track.crop(index)).name,
            "start_sample": crop.start,
            "end_sample": crop.end,
            "valid_samples": crop.valid,
            "file_samples": crop.length,
            "start_time": crop.start / rate,
            "end_time": crop.end / rate,
            "bars": crop.bars,
            "aligned": crop.aligned,
            **(
                {"stems": {s: f"stems/{Path(track.crop_stem(index, s)).name}" for s in STEMS}}
                if arguments.stems
                else {}
            ),
        }
        for index, crop in enumerate(planned.crops)
    ]
    left_out = [
        {"start_sample": part.start, "end_sample": part.end, "reason": part.reason} for part in planned.left_out
    ]
    content = {**asdict(choice), "version": plan.VERSION, "sample_rate": rate, "track_samples": total}
    content |= {"stem_gain_db": 20 * float(np.log10(gain))} if arguments.stems else {}
    artifacts.write_json(arguments.output, content | {"crops": listed, "left_out": left_out})


def _write_stems(paths: list[Path], track: TrackFiles, crops: list[plan.Crop], rate: int, total: int) -> float:
    """Write the stems of all crops; return the gain that all of them have, 1 unless they exceed full scale."""
    stems = dict(zip(STEMS, map(audio.read, paths), strict=True)) if paths else {}
    peak = max((float(np.abs(stem.samples).max(initial=0)) for stem in stems.values()), default=0.0)
    gain = 1 / max(peak, 1.0)
    for name, stem in stems.items():
        for index, crop in enumerate(crops):
            part = files.cut(stem, crop, rate, total)
            part = Audio(part.samples * np.float32(gain), part.rate)
            files.write(track.crop_stem(index, name), part, crop, rate, "PCM_24")
    return gain
