from typing import Any

import pytest

from app.importers.example import Example, RejectedRow
from app.importers.locations import resolve_uri
from app.importers.manifest import read_examples

BASE = "file:///data/labels.csv"


def parse(row: dict[str, Any]) -> Any:
    [parsed_row] = read_examples([("labels.csv:7", row)], lambda path: resolve_uri(BASE, path))
    return parsed_row


def test_a_text_label_becomes_a_text_and_a_json_label_is_the_correction() -> None:
    assert parse({"path": "a b.png", "label": "12"}) == Example(
        "labels.csv:7", "file:///data/a%20b.png", "file:///data/a%20b.png", {"text": "12"}
    )
    boxes = {"boxes": [{"box": [0, 0, 1, 1], "label": "cup"}]}
    assert parse({"path": "a.png", "label": boxes}).correction == boxes
    assert parse({"path": "a.png", "label": '{"boxes": []}'}).correction == {"boxes": []}
    assert parse({"path": "a.png", "label": ""}).correction == {"text": ""}


def test_a_served_output_has_its_propensity_and_reward() -> None:
    row = {"path": "a.png", "output": '{"text": "1"}', "propensity": "0.5", "reward": "-1", "label": None}
    example = parse(row | {"entity": "till 3", "time": "2026-01-31T13:00:00+01:00"})
    assert (example.output, example.propensity, example.reward) == ({"text": "1"}, 0.5, -1.0)
    assert example.correction is None
    assert (example.entity, example.time) == ("till 3", "2026-01-31T12:00:00.000Z")


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
def test_an_incomplete_or_invalid_row_is_rejected(row: dict[str, Any], code: str) -> None:
    rejected = parse(row)
    assert isinstance(rejected, RejectedRow)
    assert (rejected.where, rejected.code) == ("labels.csv:7", code)


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
def test_a_path_is_relative_to_the_manifest(base: str, path: str, uri: str) -> None:
    assert resolve_uri(base, path) == uri
