"""What the README.md of every export says: what is in it, what is not, and what was done to the numbers."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from mirflow.export.build import Row
from mirflow.export.items import SPLITS
from mirflow.export.numbers import KNOWN, Choice
from mirflow.export.settings import MIX, Settings


def page(
    title: str, use: str, rows: Sequence[Row], choice: Choice, settings: Settings, numbers: Collection[str] = ()
) -> str:
    """Return a page.

    Parameters
    ----------
    title : of the page
    use : Markdown, how the trainer is started
    numbers : what is said of the numbers: which are "dropped" because they never differ; "medians", where these stand
        for what does not exist; "ranges" of conditioners. Nothing where the trainer gets none
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
        " misreads it. `items.tsv` says which track, and which part of it, each one is.",
        "",
        *(_numbers(choice, settings, numbers) if numbers else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _numbers(choice: Choice, settings: Settings, said: Collection[str]) -> list[str]:
    lines = ["## Numbers", ""]
    if "ranges" in said:
        how = (
            "that the features declare" if settings.ranges == "registry" else "from the 0.5th to the 99.5th percentile"
        )
        lines += [f"Ranges are those {how}. A value outside is heard as the end of the range.", ""]
    flagged = [column for column in choice.columns if column.flagged]
    if "medians" in said and flagged:
        listed = ", ".join(f"{column.key} {column.median:.4g}" for column in flagged)
        lines += [
            "Where a number does not exist, the median of the train split stands for it, and"
            f" `<number>{KNOWN}` is 0: {listed}.",
            "",
        ]
    if "ranges" in said and choice.clipped:
        lines += ["Shares of the train items outside of the range:", "", *_shares(choice.clipped), ""]
    if "ranges" in said and choice.narrow:
        lines += [
            "Shares of the range in which nearly all train items lie, where it is small: a model hardly tells them"
            " apart by such a number. `export.ranges: percentiles` fits all ranges to this export.",
            "",
            *_shares(choice.narrow),
            "",
        ]
    if choice.dropped:
        lines += ["Not used, since nothing could be learned from them:", ""]
        lines += [f"- `{key}`: {why}" for key, why in choice.dropped.items()]
    return lines


def _shares(shares: Mapping[str, float]) -> list[str]:
    return [f"- `{key}`: {share:.1%}" for key, share in sorted(shares.items(), key=lambda pair: -pair[1])]
