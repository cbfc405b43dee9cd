"""What a version has learned from the log, for its card: from which parent, on which dataset."""

import hashlib
from pathlib import Path

from models.base import Untrainable
from models.datasets import content_hash


def parent_and_dataset(task: str, parent: Path | None, dataset: Path | None) -> tuple[Path, Path]:
    """Return both, which the training of a pretrained model needs. Raises `Untrainable` if one is missing."""
    if dataset is None or parent is None:
        raise Untrainable(f"{task} is trained from a parent on a dataset: name both; its first version is pretrained")
    return parent, dataset


def provenance(seed: int, parent: Path, dataset: Path) -> dict[str, int | str]:
    """Return the seed, and the hashes of the parent's file and of the dataset. Raises `Untrainable`."""
    return {
        "seed": seed,
        "parent": hashlib.sha256(parent.read_bytes()).hexdigest(),
        "dataset": content_hash(dataset),
    }
