"""The table of features, generated from what they declare."""

from mirflow import features
from mirflow.core.errors import MirflowError

BEGIN, END = "<!-- features: made by `make features` -->", "<!-- end of features -->"


def markdown() -> str:
    """Return a Markdown table with one line per key, grouped by feature."""
    lines = [
        "| feature | key | unit | bounds | range | meaning | null when |",
        "|---|---|---|---|---|---|---|",
    ]
    for feature in features.all_features():
        for index, field in enumerate(feature.fields):
            name = f"**{feature.name}** v{feature.version}" if index == 0 else ""
            if feature.requires and index == 0:
                name += f", with `{feature.requires}`"
            cells = (
                name,
                f"`{field.key}`",
                field.unit,
                _interval(field.bounds),
                _interval(field.range),
                field.meaning,
                field.undefined or "never",
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if feature.cite:
            lines.append(f"| | | | | | *{feature.cite}* | |".replace("\n", " "))
    return "\n".join(lines)


def _interval(interval: tuple[float, float] | None) -> str:
    return " … ".join(f"{end:g}".replace("inf", "∞") for end in interval) if interval else ""


def insert(page: str) -> str:
    """Return a page with the table put between the lines `BEGIN` and `END`."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MirflowError(f"the page lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"
