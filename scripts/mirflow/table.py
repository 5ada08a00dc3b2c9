"""The table of features, generated from what they declare."""

from mirflow import registry


def markdown() -> str:
    """Return a Markdown table with one line per key, grouped by feature."""
    lines = [
        "| feature | key | unit | bounds | range | meaning | null when |",
        "|---|---|---|---|---|---|---|",
    ]
    for feature in registry.all_features():
        for index, field in enumerate(feature.fields):
            name = f"**{feature.name}** v{feature.version}" if index == 0 else ""
            if feature.requires and index == 0:
                name += f", with `{feature.requires}`"
            cells = (name, f"`{field.key}`", field.unit, _interval(field.bounds), _interval(field.range), field.meaning,
                     field.undefined or "never")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if feature.cite:
            lines.append(f"| | | | | | *{feature.cite}* | |".replace("\n", " "))
    return "\n".join(lines)


def _interval(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:g} … {interval[1]:g}" if interval else ""
