"""Manifests: what a row says of a payload."""

from typing import Any

import pytest

from app.importers.example import Example, RejectedRow
from app.importers.locations import resolve_uri
from app.importers.manifest import read_examples

BASE = "file:///data/labels.csv"


def of(row: dict[str, Any]) -> Any:
    [found] = read_examples([("labels.csv:7", row)], lambda path: resolve_uri(BASE, path))
    return found


def test_a_label_that_is_text_is_the_text_and_another_is_a_correction_of_its_own() -> None:
    assert of({"path": "a b.png", "label": "12"}) == Example(
        "labels.csv:7", "file:///data/a%20b.png", "file:///data/a%20b.png", {"text": "12"}
    )
    boxes = {"boxes": [{"box": [0, 0, 1, 1], "label": "cup"}]}
    assert of({"path": "a.png", "label": boxes}).correction == boxes
    assert of({"path": "a.png", "label": '{"boxes": []}'}).correction == {"boxes": []}
    assert of({"path": "a.png", "label": ""}).correction == {"text": ""}


def test_an_output_that_was_served_comes_with_its_propensity_and_reward() -> None:
    row = {"path": "a.png", "output": '{"text": "1"}', "propensity": "0.5", "reward": "-1", "label": None}
    found = of(row | {"entity": "till 3", "time": "2026-01-31T13:00:00+01:00"})
    assert (found.output, found.propensity, found.reward, found.correction) == ({"text": "1"}, 0.5, -1.0, None)
    assert (found.entity, found.time) == ("till 3", "2026-01-31T12:00:00.000Z")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"label": "1"}, "no_path"),
        ({"path": 7, "label": "1"}, "no_path"),
        ({"path": "a.png"}, "no_label"),
        ({"path": "http://a/b.png", "label": "1"}, "bad_path"),
        ({"path": "\ud800", "label": "1"}, "bad_path"),
        ({"path": "a.png", "label": 1}, "bad_label"),
        ({"path": "a.png", "label": "{"}, "not_json"),
        ({"path": "a.png", "reward": 1}, "no_output"),
        ({"path": "a.png", "reward": 2, "output": {}}, "bad_value"),
        ({"path": "a.png", "reward": True, "output": {}}, "bad_value"),
        ({"path": "a.png", "label": "1", "output": []}, "bad_value"),
        ({"path": "a.png", "label": "1", "propensity": 0}, "bad_value"),
        ({"path": "a.png", "label": "1", "time": "2026-01-31"}, "bad_value"),
        ({"path": "a.png", "label": "1", "time": "yesterday"}, "bad_value"),
    ],
)
def test_what_a_row_lacks_is_said(row: dict[str, Any], code: str) -> None:
    found = of(row)
    assert isinstance(found, RejectedRow)
    assert (found.where, found.code) == ("labels.csv:7", code)


@pytest.mark.parametrize(
    ("base", "path", "uri"),
    [
        (BASE, "a/b.png", "file:///data/a/b.png"),
        (BASE, "../b.png", "file:///b.png"),
        (BASE, "/b.png", "file:///b.png"),
        (BASE, "s3://bucket/b.png", "s3://bucket/b.png"),
        ("s3://bucket/x/labels.csv", "a b.png", "s3://bucket/x/a b.png"),
        ("s3://bucket/x/labels.csv", "../b.png", "s3://bucket/b.png"),
        ("s3://bucket/labels.csv", "b.png", "s3://bucket/b.png"),
    ],
)
def test_a_path_counts_from_the_manifest(base: str, path: str, uri: str) -> None:
    assert resolve_uri(base, path) == uri
