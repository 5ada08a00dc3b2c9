"""Where the artifacts of a track lie and what they are called: said here once, for rules, commands and everything else.

Paths are text, so that the same functions give real paths and Snakemake's patterns (``{parent}{name}``).
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]  # the directory of the Snakefile
CONFIG = PROJECT / "config"

STEMS = ("drums", "bass", "other", "vocals")
EXTRA_STEMS = ("guitar", "piano")  # what some trained separators tell apart as well; on request
DRUM_STEMS = ("kick", "snare", "tom", "hihat", "cymbal")  # what the drums stem can be separated into
STEM_FORMATS = ("mp3", "flac", "wav", "ogg")
GRIDS = {"beats": "BEATS_GRID", "downbeats": "DOWNBEATS", "onsets": "ONSETS"}  # name → suffix of its file
SERIES = "TIMESERIES.npz"  # suffix of the file of time series
EMBEDDING = "labels/"  # an input of a feature that begins so is the output of that network
# Inputs of features that exist only with a setting, which is "none" where they do not.
ON_REQUEST = {"drum_notes": "transcribe.drums"}
INPUTS = ("full_mix", *STEMS, *GRIDS, *ON_REQUEST)  # what a feature may ask for by name; any embedding as well

# Folders in that of a track, for what it has several of. (A track in the folder of another one may be called so.)
TRACK_FOLDERS = ("features", "labels", "texts", "rhythm", "transcribe", "drum_stems", "crops", "metadata")

RECORDS = "records"  # in the folder below: what Snakemake recorded of each artifact, before each track had one file
# Below the results: what is about all tracks. No track may have a folder of such a name.
OF_ALL = (
    "duplicates.tsv",
    "library.parquet",
    "library.csv",
    "labels.parquet",
    "crops.parquet",
    "statistics.json",
    "report.html",
)
OWN_FOLDER = ".mirflow"  # below the results: what belongs to no track; it marks a directory as the results of a run

HASH_DIGITS = 8  # of a name that was too long
# The name of a crop is that of its track with a number, and gets suffixes. The longest is that of time series.
MOST_NAME_IN_CROP = 255 - len(f"_99999.{SERIES}")  # bytes

# What a track's folder may hold: where `a` is a track, no track `a/<such a path>` can have a folder.
_ARTIFACT = re.compile(
    rf"full_mix\.flac|({'|'.join((*STEMS, *EXTRA_STEMS, 'full_mix_instrumental'))})\.\w+"
    rf"|.*\.({'|'.join((*GRIDS.values(), 'INFO', SERIES))})"
    r"|\w+\.(json|jsonl|log|wav|png|npz|txt)|done|(drums|drums\.quantised|bass)\.mid"
    r"|metadata/\w+\.json"
    rf"|crops/.*\.({'|'.join((*GRIDS.values(), 'INFO', SERIES))}|flac|json|png)"
    r"|features/[\w.-]+\.json|labels/[\w.-]+\.npz|texts/\w+\.(txt|json)|(rhythm|transcribe)/\w+\.(npz|json|wav|png)"
    rf"|drum_stems/({'|'.join(DRUM_STEMS)})\.flac"
)


def shorten(name: str, most: int) -> str:
    """Return a name in at most `most` bytes, the end of a longer one replaced by a hash of all of it.

    >>> shorten("long name", 9), shorten("a" * 300, 20)
    ('long name', 'aaaaaaaaaaa~98bf0d8c')
    """
    content = name.encode()
    if len(content) <= most:
        return name
    end = f"~{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}"
    return content[: most - len(end)].decode(errors="ignore") + end


def is_artifact(path: str) -> bool:
    """Whether the workflow may make a file with this path below the folder of a track."""
    return _ARTIFACT.fullmatch(path) is not None


@dataclass(frozen=True)
class TrackFiles:
    """The artifacts of one track.

    Attributes
    ----------
    folder : of the track, <results>/<track id>
    name : of the track, the last part of its id
    stem_format : suffix of the stems' files
    """

    folder: str
    name: str
    stem_format: str = "mp3"

    @property
    def full_mix(self) -> str:
        """The track, decoded."""
        return f"{self.folder}/full_mix.flac"

    @property
    def source_record(self) -> str:
        """Which file `full_mix` was made from."""
        return f"{self.folder}/source.json"

    def stem(self, stem: str) -> str:
        """One of `STEMS` or `EXTRA_STEMS`."""
        return f"{self.folder}/{stem}.{self.stem_format}"

    @property
    def stems(self) -> dict[str, str]:
        """All stems, by name."""
        return {stem: self.stem(stem) for stem in STEMS}

    @property
    def instrumental(self) -> str:
        """The mix without its vocals."""
        return f"{self.folder}/full_mix_instrumental.{self.stem_format}"

    @property
    def stems_record(self) -> str:
        """What separated the stems, and how they were written."""
        return f"{self.folder}/stems.json"

    @property
    def beat_activations(self) -> str:
        """How likely each frame is a beat and a downbeat."""
        return f"{self.folder}/rhythm/beat_activations.npz"

    @property
    def beat_activations_record(self) -> str:
        """What made the activations."""
        return f"{self.folder}/rhythm/beat_activations.json"

    @property
    def beats_record(self) -> str:
        """What made the beat grid."""
        return f"{self.folder}/rhythm/beats.json"

    @property
    def beats_audio(self) -> str:
        """The track with a click on each beat."""
        return f"{self.folder}/rhythm/beats.wav"

    @property
    def beats_plot(self) -> str:
        """The activations with the grid, a picture."""
        return f"{self.folder}/rhythm/beats.png"

    def grid(self, grid: str) -> str:
        """One of `GRIDS`: times in seconds, one a line."""
        return f"{self.folder}/{self.name}.{GRIDS[grid]}"

    def embedding(self, network: str) -> str:
        """The output of a network for each patch of the track."""
        return f"{self.folder}/{EMBEDDING}{network}.npz"

    @property
    def drum_stems(self) -> dict[str, str]:
        """The drums of the drums stem, each of `DRUM_STEMS` by its name."""
        return {drum: f"{self.folder}/drum_stems/{drum}.flac" for drum in DRUM_STEMS}

    @property
    def drum_stems_record(self) -> str:
        """What separated the drums stem."""
        return f"{self.folder}/transcribe/drum_stems.json"

    @property
    def drum_activations(self) -> str:
        """How likely each drum is hit in each frame."""
        return f"{self.folder}/transcribe/drum_activations.npz"

    @property
    def drum_activations_record(self) -> str:
        """What made the drum activations."""
        return f"{self.folder}/transcribe/drum_activations.json"

    @property
    def drums_record(self) -> str:
        """What made the notes of the drums."""
        return f"{self.folder}/transcribe/drums.json"

    @property
    def drum_notes(self) -> str:
        """The notes of the drums."""
        return f"{self.folder}/transcribe/drum_notes.json"

    @property
    def drums_midi(self) -> str:
        """The notes of the drums as MIDI, with the tempi and bars of the grids."""
        return f"{self.folder}/drums.mid"

    @property
    def drums_quantised_midi(self) -> str:
        """The same with the notes on a grid."""
        return f"{self.folder}/drums.quantised.mid"

    @property
    def bass_notes(self) -> str:
        """The notes of the bass line."""
        return f"{self.folder}/transcribe/bass_notes.json"

    @property
    def bass_midi(self) -> str:
        """The notes of the bass line as MIDI, with the tempi and bars of the grids."""
        return f"{self.folder}/bass.mid"

    @property
    def drums_audio(self) -> str:
        """The track on the left, the transcribed drums on the right."""
        return f"{self.folder}/transcribe/drums.wav"

    @property
    def drums_plot(self) -> str:
        """The notes of the drums over the spectrogram, a picture."""
        return f"{self.folder}/transcribe/drums.png"

    def fragment(self, feature: str) -> str:
        """The values of one feature."""
        return f"{self.folder}/features/{feature}.json"

    def metadata(self, name: str) -> str:
        """What is known of the track as a recording: "tags", "fingerprint"."""
        return f"{self.folder}/metadata/{name}.json"

    def text(self, prompt: str) -> str:
        """The answer to one prompt."""
        return f"{self.folder}/texts/{prompt}.txt"

    def text_record(self, prompt: str) -> str:
        """How the answer was made."""
        return f"{self.folder}/texts/{prompt}.json"

    @property
    def info(self) -> str:
        """All fragments, merged."""
        return f"{self.folder}/{self.name}.INFO"

    @property
    def timeseries(self) -> str:
        """What is heard in each hundredth of a second."""
        return f"{self.folder}/{self.name}.{SERIES}"

    @property
    def overview(self) -> str:
        """What the report draws of the track."""
        return f"{self.folder}/overview.json"

    @property
    def crops(self) -> str:
        """Which crops there are, and where they lie in the track. Written after them."""
        return f"{self.folder}/crops/crops.json"

    @property
    def crops_plot(self) -> str:
        """The waveform with the beats and the crops, a picture."""
        return f"{self.folder}/crops/crops.png"

    @property
    def crop_features(self) -> str:
        """The values of all features of all crops."""
        return f"{self.folder}/crops/features.json"

    def crop(self, index: int, suffix: str = "flac") -> str:
        """Return a file of the crop with this number: its sound, its ``INFO``, or the suffix of one of `GRIDS`."""
        return f"{self.folder}/crops/{shorten(self.name, MOST_NAME_IN_CROP)}_{index}.{suffix}"

    def crop_stem(self, index: int, stem: str) -> str:
        """Return the sound of a stem of a crop."""
        return f"{self.folder}/crops/stems/{shorten(self.name, MOST_NAME_IN_CROP)}_{index}.{stem}.flac"

    def input(self, name: str) -> str:
        """Return the file of a feature's input: one of `INPUTS`, or an embedding."""
        if name in STEMS:
            return self.stem(name)
        if name in GRIDS:
            return self.grid(name)
        if name.startswith(EMBEDDING):
            return self.embedding(name.removeprefix(EMBEDDING))
        return {"full_mix": self.full_mix, "drum_notes": self.drum_notes}[name]


def track_files(results: str, track: str, stem_format: str = "mp3") -> TrackFiles:
    """Return the artifacts of the track with this id."""
    return TrackFiles(f"{results}/{track}", track.rpartition("/")[2], stem_format)


def own(results: str, *parts: str) -> str:
    """Return a path in the folder of what belongs to no track."""
    return "/".join((str(results), OWN_FOLDER, *parts))


def log_folder(results: str, track: str = "{parent}{name}") -> str:
    """Return where the commands of a track write their logs."""
    return own(results, "logs", track)


def benchmark_folder(results: str, track: str = "{parent}{name}") -> str:
    """Return where Snakemake notes what the jobs of a track took."""
    return own(results, "benchmarks", track)


def duplicates_table(results: str) -> str:
    """Return the table of tracks that are the same recording."""
    return f"{results}/duplicates.tsv"


def statistics(results: str) -> str:
    """Return the statistics of all tracks, and the findings."""
    return f"{results}/statistics.json"


def report(results: str) -> str:
    """Return the page that shows a library."""
    return f"{results}/report.html"


def merge_stamp(results: str, track: str = "{parent}{name}") -> str:
    """Return the file that says when the last merge into a track's ``.INFO`` succeeded."""
    return own(results, "merged", track, "done")


def crops_stamp(results: str, track: str = "{parent}{name}") -> str:
    """Return the file that says when the ``.INFO`` files of a track's crops were last written."""
    return own(results, "cropped", track, "done")
