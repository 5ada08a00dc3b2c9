"""Extract scores in many metres from music21 into TRAIN/corpus.jsonl: `python -m training.corpus TRAIN`."""

import json
import multiprocessing
import os
import sys
from pathlib import Path

FOLDERS = ("bach", "ryansMammoth", "airdsAirs", "oneills1850", "haydn", "mozart", "beethoven", "schubert", "chopin",
           "schumann_clara", "schumann_robert", "corelli", "handel", "monteverdi", "joplin", "weber", "trecento",
           "essenFolksong", "josquin", "palestrina", "verdi", "liliuokalani", "demos", "ciconia", "cpebach",
           "nottingham-dataset")  # fmt: skip
LEFT_OUT = (
    "nottingham",
    "palestrina",
    "trecento",
    "josquin",
    "ciconia",
    "monteverdi",
)  # kept for measuring; unmeasured
MOST_NOTES = 1500
MOST_TUNES = 100  # per file with several tunes


def scores(stream):
    """Yield the scores of a parsed file: one, or each of an opus."""
    yield from (
        list(stream.scores)[:MOST_TUNES]
        if hasattr(stream, "scores") and stream.isStream and stream.classes[0] == "Opus"
        else [stream]
    )


def extract(score, name: str) -> dict | None:
    """Return notes (start, duration in quarters, pitch, part), beats (quarters) and positions; None without a metre."""
    parts = list(score.parts) or [score]
    notes = []
    for number, part in enumerate(parts[:8]):
        for element in part.flatten().notes:
            for pitch in element.pitches:
                notes.append((float(element.offset), float(element.quarterLength), pitch.midi, number))
    beats, positions = [], []
    for measure in parts[0].getElementsByClass("Measure"):
        signature = measure.timeSignature or measure.getContextByClass("TimeSignature")
        if signature is None:
            return None
        numerator, denominator = signature.numerator, signature.denominator
        if denominator == 2:  # cut time is counted in quarters, as MIDI files of such tunes do
            numerator, denominator = 2 * numerator, 4
        compound = numerator in (6, 9, 12) and denominator >= 8
        unit = 4 / denominator * (3 if compound else 1)
        count = numerator // 3 if compound else numerator
        full = count * unit
        length = float(measure.duration.quarterLength)
        missing = max(0.0, full - length) if not beats else 0.0  # a pick-up bar lacks its first beats
        for index in range(count):
            at = index * unit - missing
            if -1e-6 <= at < length - 1e-6:
                beats.append(float(measure.offset) + at)
                positions.append(index + 1)
    notes.sort()
    if len(notes) < 24 or len(beats) < 16:
        return None
    return {"name": name, "notes": notes[:MOST_NOTES], "beats": beats, "positions": positions}


def read(path: Path) -> tuple[list[dict], str]:
    """Return the pieces of a file, and what is wrong with it."""
    from music21 import converter

    try:
        parsed = converter.parse(path)
        pieces = [extract(score, f"{path.parent.name}/{path.name}#{k}") for k, score in enumerate(scores(parsed))]
    except Exception as error:  # files of the corpus that music21 itself cannot read  # noqa: BLE001
        return [], f"{path.name}: {error}"
    return [piece for piece in pieces if piece], ""


def main() -> None:
    """Write one line of JSON per score, once all are read."""
    from music21 import corpus

    paths = sorted(
        p
        for p in corpus.getPaths()
        if any(f in p.parts for f in FOLDERS) and not any(word in str(p).lower() for word in LEFT_OUT)
    )
    target = Path(sys.argv[1]) / "corpus.jsonl"
    partial = target.with_suffix(".partial")
    with partial.open("w") as out, multiprocessing.Pool() as pool:
        for pieces, error in pool.imap(read, paths):
            if error:
                print(error, file=sys.stderr)
            for piece in pieces:
                out.write(json.dumps(piece) + "\n")
    os.replace(partial, target)


if __name__ == "__main__":
    main()
