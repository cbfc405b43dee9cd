"""Put the lines of a page in the order of reading, whichever way up and however askew the page is.

A page is cut along its white space (Nagy & Seth, "Hierarchical representation of optically scanned documents", ICPR
1984): what lies between two rows is read from top to bottom; rows that leave the same gutter free are columns, and
those are read one after the other, if there is running text on both sides of the gutter. Else, as on a receipt, each
row is read across. A table with two or more wide columns is read column by column, text around pictures and marginal
notes where they come, and text from right to left or in columns from top to bottom in the wrong direction.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ocr.rectangles import Floats

Rows = list[list[int]]
"""The places of the lines of each row, from left to right; the rows in the order of reading."""

_CORE = 0.25  # of a line's height, at each side: its ascenders, descenders and margin may overlap with others
_MIN_COLUMN_LINES = 3
_MIN_COLUMN_WIDTH = 8  # of the median line, in its heights: about sixteen letters


def reading_order(polygons: Floats) -> Rows:
    """Return the rows of a page's lines, given the corners (lines, 4, 2) of each from where it begins."""
    if not len(polygons):
        return []
    upright = _turned_upright(np.asarray(polygons, np.float64))
    low, high = upright.min(axis=1), upright.max(axis=1)
    inner = _CORE * (high - low)[:, 1:]
    return list(_Block(low + inner, high - inner, np.arange(len(low))).rows())


def _turned_upright(polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn all corners by the direction of most of the text."""
    along = polygons[:, 1] - polygons[:, 0]
    lengths, angles = np.hypot(*along.T), np.arctan2(along[:, 1], along[:, 0])
    quarters = np.round(angles / (np.pi / 2)).astype(int) % 4
    quarter = int(np.bincount(quarters, lengths, minlength=4).argmax())
    skew = np.angle(np.exp(1j * (angles - quarter * np.pi / 2)))[quarters == quarter]
    order = np.argsort(skew)
    weights = lengths[quarters == quarter][order].cumsum()
    angle = quarter * np.pi / 2 + skew[order][np.searchsorted(weights, weights[-1] / 2)]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(polygons @ turn)


@dataclass(frozen=True)
class _Block:
    """Lines: the least and the greatest x and y of each one's core, (lines, 2), and their places on the page."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    places: NDArray[np.int64]

    def part(self, chosen: NDArray[np.bool_]) -> "_Block":
        return _Block(self.low[chosen], self.high[chosen], self.places[chosen])

    def split(self, gutter: float) -> list["_Block"]:
        return [self.part(self.high[:, 0] <= gutter), self.part(self.low[:, 0] >= gutter)]

    def rows(self) -> Iterator[list[int]]:
        for group in self._groups():
            gutter = group.gutter()
            sides = (
                []
                if gutter is None
                else [group.part(group.high[:, 0] <= gutter), group.part(group.low[:, 0] >= gutter)]
            )
            if sides and all(side.is_column() for side in sides):
                yield from sides[0].rows()
                yield from sides[1].rows()
            else:
                yield from group.across()

    def _groups(self) -> Iterator["_Block"]:
        """Yield the runs of bands, one below the other, that leave the same gutter free."""
        bands = _intervals(self.low[:, 1], self.high[:, 1])
        first = 0
        for band in range(1, bands.max() + 2):
            grows = band <= bands.max() and self.part((first <= bands) & (bands <= band)).gutter() is not None
            if not grows:
                end = band - self._headings(bands, first, band)
                yield self.part((first <= bands) & (bands < end))
                first = end

    def _headings(self, bands: NDArray[np.int64], first: int, end: int) -> int:
        """Return 1 if the last of these bands is on one side of their gutter and nearer to what follows, else 0."""
        gutter = self.part((first <= bands) & (bands < end)).gutter()
        if gutter is None or end - first < 2 or end > bands.max():
            return 0
        before, last, after = (self.part(bands == band) for band in (end - 2, end - 1, end))
        one_sided = any(len(side.places) == 0 for side in last.split(gutter))
        nearer = after.low[:, 1].min() - last.high[:, 1].max() < last.low[:, 1].min() - before.high[:, 1].max()
        return int(one_sided and nearer)

    def gutter(self) -> float | None:
        """Return the middle of the widest gap between lines side by side, None if there is none."""
        order = np.argsort(self.low[:, 0], kind="stable")
        reached = np.maximum.accumulate(self.high[order, 0])[:-1]
        gaps = self.low[order, 0][1:] - reached
        if not gaps.size or gaps.max() <= 0:
            return None
        widest = int(gaps.argmax())
        return float(reached[widest] + gaps[widest] / 2)

    def is_column(self) -> bool:
        width, height = np.median(self.high - self.low, axis=0)
        return len(self.low) >= _MIN_COLUMN_LINES and width >= _MIN_COLUMN_WIDTH * height / (1 - 2 * _CORE)

    def across(self) -> Iterator[list[int]]:
        """Yield the lines of each row."""
        rows = _intervals(self.low[:, 1], self.high[:, 1])
        for row in range(rows.max() + 1):
            members = np.flatnonzero(rows == row)
            yield self.places[members[np.argsort(self.low[members, 0], kind="stable")]].tolist()


def _intervals(low: Floats, high: Floats) -> NDArray[np.int64]:
    """Return the number of the group of each interval: those that overlap, one after the other, are one group."""
    order = np.argsort(low, kind="stable")
    reached = np.maximum.accumulate(high[order])
    numbers = np.concatenate(([0], np.cumsum(low[order][1:] > reached[:-1])))
    groups = np.empty(len(low), np.int64)
    groups[order] = numbers
    return groups
