"""The summaries of two runs beside each other: `python -m benchmarks.compare BEFORE.json AFTER.json`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table


def compare(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """Return each figure that both runs have: its name, both values, and the change in percent."""
    return [
        (
            name,
            f"{before[name]:.4g}",
            f"{value:.4g}",
            f"{(value / before[name] - 1) * 100:+.0f} %" if before[name] else "",
        )
        for name, value in after.items()
        if name in before
    ]


def main() -> None:
    """Print the comparison."""
    before, after = (json.loads(Path(path).read_text())["summary"] for path in sys.argv[1:3])
    table = Table("", "before", "after", "change")
    for row in compare(before, after):
        table.add_row(*row)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
