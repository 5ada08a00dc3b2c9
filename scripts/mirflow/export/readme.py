"""What the README.md of every export says: what is in it, what is not, and what was done to the numbers."""

from collections import Counter
from collections.abc import Sequence

from mirflow.export.build import Row
from mirflow.export.items import SPLITS
from mirflow.export.numbers import KNOWN, Choice
from mirflow.export.settings import MIX, Settings


def page(title: str, use: str, rows: Sequence[Row], choice: Choice, settings: Settings) -> str:
    """Return a page.

    Parameters
    ----------
    title : of the page
    use : Markdown, how the trainer is started
    """
    splits = Counter(row.item.split for row in rows)
    counted = ", ".join(f"{splits[split]} in {split}/" for split in SPLITS if splits[split])
    seconds = sum(row.item.seconds for row in rows)
    kind = "crops" if settings.crops else "tracks"
    sound = "" if settings.sound == MIX else f" (the stem {settings.sound} of each)"
    lines = [
        f"# {title}",
        "",
        f"{len(rows)} {kind}{sound}: {counted}; {seconds / 3600:.2f} h of music. Made by mirflow. `export.json` says"
        " how many were planned, and `excluded.tsv` which of them are not here, and why.",
        "",
        use.strip(),
        "",
        "## Names",
        "",
        "The name of a file begins with that of its track and ends with a hash of the track's id, so that no loader"
        " misreads it. Which track it is stands in the manifest.",
        "",
        _numbers(choice, settings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _numbers(choice: Choice, settings: Settings) -> str:
    source = "that the features declare" if settings.ranges == "registry" else "from the 0.5th to the 99.5th percentile"
    lines = ["## Numbers", "", f"Ranges are those {source}. A value outside is heard as the end of the range."]
    flagged = [column for column in choice.columns if column.flagged]
    if flagged:
        lines += [
            f"Where a number does not exist, the median of the train split stands for it, and `<number>{KNOWN}` is 0:"
            f" {', '.join(f'{column.key} {column.median:.4g}' for column in flagged)}.",
        ]
    if choice.clipped:
        shares = sorted(choice.clipped.items(), key=lambda pair: -pair[1])
        lines += ["", "Shares of the train items outside of the range:", ""]
        lines += [f"- `{key}`: {share:.1%}" for key, share in shares]
    if choice.dropped:
        lines += ["", "Not used, since nothing could be learned from them:", ""]
        lines += [f"- `{key}`: {why}" for key, why in choice.dropped.items()]
    return "\n".join(lines)
