"""What the user and the files beside a model say about it: labels, size, normalisation."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.templates.foreign.notes import Notes


@dataclass(frozen=True)
class Hints:
    """None where nobody says anything."""

    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    """Height and width."""
    channels: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: str | None = None
    shorter: int | None = None
    columns: tuple[str, ...] | None = None
    standardised: bool | None = None
    licence: str | None = None
    kind: str | None = None

    def over(self, other: "Hints", source: str, notes: Notes) -> "Hints":
        """Return these hints, and those of `other` where these say nothing; note what `source` has said."""
        missing = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) is None and getattr(other, field.name) is not None
        }
        if missing:
            notes.known.append(f"{', '.join(missing)}: from {source}")
        return replace(self, **missing)


def from_metadata(metadata: Mapping[str, str]) -> Hints:
    """Return what the metadata of an ONNX file says: that of Ultralytics, and the alphabet of PaddleOCR."""
    names, size = _literal(metadata.get("names")), _literal(metadata.get("imgsz"))
    labels = tuple(map(str, names.values())) if isinstance(names, dict) else None
    if labels is None and "character" in metadata:
        labels = tuple(metadata["character"].rstrip("\n").split("\n"))
    task = {"detect": "detection", "classify": "classification"}.get(metadata.get("task", ""))
    is_size = isinstance(size, list) and len(size) == 2
    return Hints(labels=labels, size=(int(size[0]), int(size[1])) if is_size else None, kind=task)


def _literal(text: str | None) -> Any:
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels in a file: a JSON list, a JSON object of numbers or labels, or a line for each.

    A line may be a space, as the symbol of an alphabet is. Raises `SetupError`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path} can't be read as UTF-8: {error}.", "Give a file with one label in each line."
        ) from error
    labels = _in_order(json.loads(text)) if _is_json(text) else tuple(text.removesuffix("\n").split("\n"))
    labels = tuple(label.rstrip("\r") for label in labels)
    if len(labels) < 2 or len({*labels}) != len(labels):
        raise SetupError(f"{path} has {len(labels)} labels, or one twice.", "Give a file with one label in each line.")
    return labels


def _is_json(text: str) -> bool:
    try:
        return text.lstrip()[:1] in ("[", "{") and isinstance(json.loads(text), list | dict)
    except ValueError:
        return False


def _in_order(labels: Any) -> tuple[str, ...]:
    """Return labels by their numbers: of a list, of {number: label}, or of {label: number}."""
    if isinstance(labels, dict):
        by_number = labels if all(str(key).isdecimal() for key in labels) else {v: k for k, v in labels.items()}
        labels = [by_number[number] for number in sorted(by_number, key=int)]
    return tuple(map(str, labels))
