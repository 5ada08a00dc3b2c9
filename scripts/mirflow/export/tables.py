"""Tables of a whole library: a row for each track, for each crop, and for each probability of a label."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirflow import features
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.core.layout import track_files
from mirflow.labels import heads

if TYPE_CHECKING:
    import pyarrow

VERSION = 1  # raise it when other tables come out
LIBRARY, LIBRARY_CSV, CROPS, LABELS = "library.parquet", "library.csv", "crops.parquet", "labels.parquet"
CHUNK = 5000  # rows of tracks and crops that are in memory as Python objects
LABELS_CHUNK = 500_000  # rows of labels
FIRST = ("track", "source", "sha256", "seconds", "rate", "channels", "failed", "split", "duplicate_group")
FIRST_OF_CROPS = ("track", "crop", "file", "split")


def write(
    results: str, tracks: Mapping[str, str], failed: Mapping[str, str], crops: bool, folder: Path
) -> dict[str, int]:
    """Write the tables, each atomically.

    Parameters
    ----------
    results : their directory
    tracks : id → source file, of all tracks of the library
    failed : ids of tracks that are not complete → why
    crops : whether the settings make crops
    folder : where the tables go

    Returns
    -------
    name of a table → rows

    Raises
    ------
    MirflowError : an ``.INFO`` is damaged, or a table cannot be written
    """
    import pyarrow.csv
    import pyarrow.parquet

    complete = [track for track in tracks if track not in failed]
    library = _table(_library(results, tracks, failed), FIRST)
    made = {LIBRARY: library} | ({CROPS: _table(_crops(results, complete), FIRST_OF_CROPS)} if crops else {})
    for name, table in made.items():
        with artifacts.atomic_write(folder / name) as temporary:
            pyarrow.parquet.write_table(table, temporary, compression="zstd")
    with artifacts.atomic_write(folder / LIBRARY_CSV) as temporary:
        pyarrow.csv.write_csv(library, temporary)
    return {name: table.num_rows for name, table in made.items()} | {LABELS: _write_labels(folder, results, complete)}


def _library(results: str, tracks: Mapping[str, str], failed: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each track. Of a track that is not complete nothing but that is said: its .INFO may be old."""
    for track, source in tracks.items():
        row: dict[str, Any] = {"track": track, "source": source, "failed": failed.get(track)}
        if track not in failed:
            info = artifacts.read_json(track_files(results, track).info)
            about = (info.get(PROVENANCE) or {}).get("source") or {}
            named = {"sha256": "sha256", "duration": "seconds", "rate": "rate", "channels": "channels"}
            row |= {name: about.get(key) for key, name in named.items()} | _values(info)
        yield row


def _crops(results: str, tracks: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each crop: where it lies in its track, and what its .INFO holds."""
    for track in tracks:
        files = track_files(results, track)
        try:
            listed = artifacts.read_json(files.crops)["crops"]
        except FileNotFoundError:
            continue
        split = artifacts.read_json(files.info).get("split")
        for crop in listed:
            place = {key: value for key, value in crop.items() if key not in ("index", "file")}
            with suppress(FileNotFoundError):
                place |= _values(artifacts.read_json(files.crop(crop["index"], "INFO")))
            path = Path(files.crop(crop["index"])).relative_to(results).as_posix()
            yield {"track": track, "crop": crop["index"], "file": path, "split": split} | place


def _values(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says of an .INFO: texts and numbers as they are, of labels the most likely one."""
    row: dict[str, Any] = {}
    for key, value in info.items():
        if isinstance(value, dict):
            if value and not key.startswith("_") and all(type(p) in (int, float) for p in value.values()):
                row[key], row[f"{key}_probability"] = max(value.items(), key=lambda pair: pair[1])
        elif not isinstance(value, list):
            row[key] = value
    return row


def _table(rows: Iterable[dict[str, Any]], first: tuple[str, ...]) -> "pyarrow.Table":
    """Make a table of rows that may have different keys: `first`, then those of features, then others'."""
    import pyarrow as pa

    declared = {}
    for field in (field for feature in features.all_features() for field in feature.fields):
        declared[field.key] = {float: pa.float64(), int: pa.int64()}.get(field.kind, pa.string())
        if field.kind is dict:
            declared[f"{field.key}_probability"] = pa.float64()
    done, chunks = 0, {key: [] for key in declared}
    others: dict[str, list[Any]] = {key: [] for key in first}
    present: set[str] = set()
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        keys = {key for row in chunk for key in row}
        present |= keys
        for key in sorted(keys - set(declared) - set(others)):
            others[key] = [None] * done
        for key, column in others.items():
            column += [row.get(key) for row in chunk]
        for key, kind in declared.items():
            chunks[key].append(_array(key, [row.get(key) for row in chunk], kind))
        done += len(chunk)
    columns = {key: pa.array(*_uniform(others.pop(key))) for key in first}
    columns |= {key: pa.chunked_array(chunks[key], kind) for key, kind in declared.items() if key in present}
    columns |= {key: pa.array(*_uniform(values)) for key, values in others.items()}
    return pa.table(columns)


def _array(key: str, values: list[Any], kind: "pyarrow.DataType") -> "pyarrow.Array":
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise MirflowError(f"the key {key} of an .INFO is no {kind} ({error})") from error


def _uniform(values: list[Any]) -> tuple[list[Any], "pyarrow.DataType | None"]:
    """Return the values of a key that no feature declares with their common type: numbers, truth values, or texts."""
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {bool}:
        return values, pa.bool_()
    if kinds == {int}:
        return values, pa.int64() if all(v is None or abs(v) < 1 << 63 for v in values) else pa.float64()
    if kinds and kinds <= {int, float}:
        return [None if value is None else float(value) for value in values], pa.float64()
    text = (None if value is None else str(value).encode(errors="replace").decode() for value in values)
    return list(text), pa.string()


def _write_labels(folder: Path, results: str, tracks: Iterable[str]) -> int:
    """Write all probabilities of all heads in the long form; return the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet

    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("track", text), ("head", text), ("label", text), ("probability", pa.float32())])
    rows = 0
    with (
        artifacts.atomic_write(folder / LABELS) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as file,
    ):
        for chunk in _label_chunks(results, tracks):
            columns = [pa.array(column, pa.string()).dictionary_encode() for column in chunk[:3]]
            file.write_table(pa.table([*columns, pa.array(chunk[3], pa.float32())], schema=schema))
            rows += len(chunk[3])
    return rows


def _label_chunks(results: str, tracks: Iterable[str]) -> Iterator[tuple[list, list, list, list]]:
    """Yield track, head, label and probability of many rows at once."""
    names = heads.names()
    chunk: tuple[list, list, list, list] = ([], [], [], [])
    for track in tracks:
        files = track_files(results, track)
        for head in names:
            try:
                found = artifacts.read_json(files.fragment(head)).get("_probabilities") or {}
            except FileNotFoundError:
                continue
            chunk[0].extend([track] * len(found))
            chunk[1].extend([head] * len(found))
            chunk[2].extend(found)
            chunk[3].extend(found.values())
        if len(chunk[3]) >= LABELS_CHUNK:
            yield chunk
            chunk = ([], [], [], [])
    if chunk[3]:
        yield chunk
