"""Statistics and findings as tables for a terminal, and as CSV."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mirflow.report.findings import SEVERITIES
from mirflow.report.values import Library

if TYPE_CHECKING:
    import pandas

COLUMNS = ("count", "null", "missing", "mean", "std", "min", "q1", "median", "q3", "max")


def overview(content: Mapping[str, Any], top: int) -> str:
    """Return the findings, at most `top` of each severity, and the statistics of all numbers."""
    about = content["library"]
    hours = f"{about['seconds'] / 3600:.1f} hours"
    lines = [f"{about['read']} of {about['tracks']} tracks, {hours}" + "".join(
        f", {count} {split}" for split, count in about["splits"].items()
    )]  # fmt: skip
    lines += [about["few"]] if about["few"] else []
    for severity in SEVERITIES:
        found = [one for one in content["findings"] if one["severity"] == severity]
        if found:
            lines += ["", f"{len(found)} {severity}{'s' if len(found) > 1 else ''}"]
        for one in found[:top]:
            lines += [f"  {one['kind']}: {one['says']}", f"      {one['do']}"]
        if len(found) > top:
            lines.append(f"  and {len(found) - top} more (--top {len(found)})")
    if not content["findings"]:
        lines += ["", "no findings"]
    return "\n".join([*lines, "", _text(_numbers(content))])


def key(library: Library, content: Mapping[str, Any], name: str, top: int) -> str:
    """Return what there is to say of a key: its statistics, what goes with it, and the tracks at both ends."""
    one = content["keys"].get(name)
    lines = [name + (f": {one['meaning']}" if one and one["meaning"] else "")]
    if one and one["undefined"]:
        lines.append(f"null when {one['undefined']}")
    if name in library.numbers and one["count"]:
        ranged = f"; range {one['range'][0]:g} to {one['range'][1]:g}" if one["range"] else ""
        clipped = f", {one['clipped_below']} values below and {one['clipped_above']} above" if one["range"] else ""
        lines += ["", _text(_numbers(content, [name]))]
        lines.append(f"half within {one['iqr']:.5g}; MAD {one['mad']:.5g}{ranged}{clipped}")
        lines.append(f"99 % of the values: {one['p0_5']:.5g} to {one['p99_5']:.5g}")
        lines += _correlated(content, name, top)
        ordered = library.numbers[name].dropna().sort_values()
        lines += ["", "highest", *_values(ordered[::-1][:top]), "", "lowest", *_values(ordered[:top])]
        far = one["outliers"] or []
        lines += (
            ["", "outliers", *(f"  {value:<12.6g} {track} (z {z:.1f})" for track, value, z in far[:top])] if far else []
        )
    elif name in library.labels:
        lines += ["", "tracks with a probability of at least 0.1, 0.3, 0.5"]
        counts = content["labels"][name]
        lines += [f"  {a:<7}{b:<7}{c:<7}{label}" for label, (a, b, c) in list(counts.items())[:top]]
    elif name in library.texts:
        counts = library.texts[name].value_counts()
        lines += ["", *(f"  {count:<7}{text}" for text, count in counts[:top].items())]
    found = [finding for finding in content["findings"] if name in finding["keys"]]
    lines += ["", *(f"{finding['kind']}: {finding['says']}; {finding['do']}" for finding in found)] if found else []
    return "\n".join(lines)


def csv(library: Library, content: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return the statistics of all numbers as CSV; of keys that are named the values instead, a line for each track."""
    if not keys:
        return _numbers(content).to_csv(index_label="key", float_format="%.7g")
    return library.frame[list(keys)].to_csv(index_label="track", float_format="%.7g")


def _numbers(content: Mapping[str, Any], keys: Sequence[str] | None = None) -> "pandas.DataFrame":
    import pandas as pd

    described = {name: one for name, one in content["keys"].items() if "mean" in one and (not keys or name in keys)}
    rows = {name: [one[column] for column in COLUMNS] for name, one in described.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))


def _text(table: "pandas.DataFrame") -> str:
    return table.to_string(float_format=lambda value: f"{value:.5g}") if len(table) else "no numbers"


def _correlated(content: Mapping[str, Any], name: str, top: int) -> list[str]:
    keys = content["correlation"]["keys"]
    if name not in keys:
        return []
    row = content["correlation"]["rho"][keys.index(name)]
    known = [(rho, other) for rho, other in zip(row, keys, strict=True) if rho is not None and other != name]
    strongest = sorted(known, key=lambda pair: -abs(pair[0]))[:top]
    return ["", "rank correlation with", *(f"  {rho:<+12.3f} {other}" for rho, other in strongest)] if strongest else []


def _values(column: "pandas.Series") -> list[str]:
    return [f"  {value:<12.6g} {track}" for track, value in column.items()]
