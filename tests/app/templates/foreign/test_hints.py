from pathlib import Path

import pytest

from app.errors import SetupError
from app.templates.foreign.hints import Hints, from_metadata, read_labels
from app.templates.foreign.notes import Notes


@pytest.mark.parametrize(
    "text",
    ["cat\n \ndog\n", '["cat", " ", "dog"]', '{"2": "dog", "0": "cat", "1": " "}', '{"cat": 0, " ": 1, "dog": 2}'],
)
def test_labels_are_read_from_lines_and_from_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text)
    assert read_labels(tmp_path / "labels") == ("cat", " ", "dog")


@pytest.mark.parametrize("content", [b"cat\ncat\n", b"cat\n", b"\xff\n\xfe"])
def test_other_files_of_labels_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(SetupError) as caught:
        read_labels(tmp_path / "labels")
    assert "one label in each line" in caught.value.remedy


def test_what_the_user_says_counts_before_what_the_model_says() -> None:
    notes = Notes()
    hints = Hints(labels=("a", "b")).over(Hints(labels=("c",), size=(1, 2)), "the metadata", notes)
    assert (hints.labels, hints.size) == (("a", "b"), (1, 2))
    assert notes.known == ["size: from the metadata"]


def test_metadata_of_other_exporters_says_nothing() -> None:
    assert from_metadata({"names": "__import__('os')", "imgsz": "large", "task": "pose"}) == Hints()
