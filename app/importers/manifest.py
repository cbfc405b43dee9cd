"""Manifests: one row per payload, with its path and its label."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from app.importers.example import (
    Example,
    ParsedRow,
    RejectedRow,
    optional_value,
    parse_number,
    parse_object,
    parse_propensity,
    parse_time,
)
from app.importers.tables import TableRow
from models.base import Rejected


def read_examples(rows: Iterable[TableRow], resolve: Callable[[str], str]) -> Iterator[ParsedRow]:
    """Yield the examples of a manifest. `resolve` turns a path, relative to the manifest, into a URI.

    A row has a `path` and a `label`: a correction as a JSON object, or a text that stands for `{"text": label}`.
    Optional are the `output` that was served, as JSON, with its `propensity` (default 1) and its `reward`, an `entity`,
    and a `time`.
    """
    for where, row in rows:
        if isinstance(row, RejectedRow):
            yield row
            continue
        try:
            yield _parse_row(where, row, resolve)
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))


def _parse_row(where: str, row: dict[str, Any], resolve: Callable[[str], str]) -> Example:
    path, reward, output = (optional_value(row, name) for name in ("path", "reward", "output"))
    # An empty cell is an empty text; beside a reward it means that there is no label.
    label = row.get("label") if reward is None else optional_value(row, "label")
    if not isinstance(path, str):
        raise Rejected("no_path", "`path` is missing or not a text")
    if label is None and reward is None:
        raise Rejected("no_label", "`label` is missing; give a label, or a `reward` with its `output`")
    if reward is not None and output is None:
        raise Rejected("no_output", "`output` is missing: a reward needs the output that it rates")
    try:
        uri = resolve(path)
    except ValueError as error:
        raise Rejected("bad_path", f"{path!r} is not a valid path: {error}") from None
    entity, time = optional_value(row, "entity"), optional_value(row, "time")
    return Example(
        where=where,
        identity=uri,
        payload=uri,
        correction=None if label is None else parse_correction(label),
        reward=None if reward is None else parse_number(reward, "reward", -1, 1),
        output=None if output is None else parse_object(output, "output"),
        propensity=1.0 if optional_value(row, "propensity") is None else parse_propensity(row["propensity"]),
        entity=None if entity is None else str(entity),
        time=None if time is None else parse_time(time),
    )


def parse_correction(label: Any) -> dict[str, Any]:
    """Return a label as a correction. Raises `Rejected`."""
    if isinstance(label, dict):
        return label
    if not isinstance(label, str):
        raise Rejected("bad_label", f"label is {label!r}; text or a JSON object is needed")
    return parse_object(label, "label") if label.lstrip().startswith("{") else {"text": label}
