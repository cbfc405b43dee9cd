"""Tables of a version and the version that it is compared with, on parts of the same evidence."""

from collections.abc import Iterator

from app.events.comparison import ComparedPart, Comparison, Measured

UNITS = {"decision": "choices", "slate": "slates", "episode": "episodes", "outcome": "outcomes"}
"""What people call the units of evidence."""


def print_comparison(comparison: Comparison, version: str, against: str) -> None:
    """Print the parts, with their doubts, and what their intervals mean."""
    rows = list(_rows(comparison))
    width = max(len(name) for name, _ in rows)
    headings = (version, against, "difference")
    print(f"{'':<{width}}  {UNITS[comparison.unit]:>8}" + "".join(f"  {heading:>27}" for heading in headings))
    for name, part in rows:
        measured = "".join(f"  {_format(value):>27}" for value in (part.candidate, part.champion, part.difference))
        print(f"{name:<{width}}  {part.count:>8}{measured}")
        for doubt in part.doubts:
            print(f"{'':<{width}}  in doubt: {doubt}")
    for slices in comparison.slices:
        if slices.left_out:
            print(f"{slices.left_out} smaller slices of {slices.column} are left out.")
    if comparison.simultaneous:
        print(
            f"Of the {comparison.simultaneous} parts, the intervals of all differences hold at once with a probability"
            f" of {comparison.level:.0%}; each other interval holds by itself."
        )


def _rows(comparison: Comparison) -> Iterator[tuple[str, ComparedPart]]:
    yield "all", comparison.total
    for part in comparison.over_time:
        yield f"{part.start:%Y-%m-%d %H:%M} to {part.end:%Y-%m-%d %H:%M}", part
    for slices in comparison.slices:
        for part in slices.parts:
            yield f"{slices.column} {part.slice}", part


def _format(measured: Measured | None) -> str:
    if measured is None:
        return "-"
    value, low, high = measured
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"
