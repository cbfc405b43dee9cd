"""A table of the report."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableSection:
    """A table with its title and notes. One without rows is not shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


EMPTY = TableSection("", (), ())
