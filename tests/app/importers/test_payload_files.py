"""Files are found by the names that annotations give them."""

import pytest

from app.importers.payload_files import PayloadFiles
from models.base import Rejected


def find(name: str, paths: list[str], document: str = "", documents: list[str] | None = None) -> str:
    """Return the path that is found, or the code of the rejection."""
    try:
        return PayloadFiles([(path, path) for path in paths], documents or [document]).find(name, document)
    except Rejected as error:
        return error.code


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "images/a.jpg",
        "./images/a.jpg",
        "images\\a.jpg",
        "..\\..\\media\\upload\\4\\a.jpg",
        "C:\\x\\a.jpg",
        "/data/a.jpg",
        "http://example.org/4/a.jpg",
    ],
)
def test_a_name_may_be_a_part_of_the_path_or_of_another_machine(name: str) -> None:
    assert find(name, ["images/a.jpg", "images/b.jpg"], "result.json") == "images/a.jpg"


def test_another_folder_than_the_named_one_does_not_count() -> None:
    assert find("train/a.jpg", ["images/a.jpg"]) == "no_file"


def test_composed_and_decomposed_characters_are_the_same() -> None:
    assert find("\xfc.jpg", ["images/u\u0308.jpg"]) == "images/u\u0308.jpg"


@pytest.mark.parametrize(
    ("document", "path"),
    [("train/x.json", "train/a.jpg"), ("valid/x.json", "valid/a.jpg"), ("x.json", "which_file")],
)
def test_the_file_beside_the_document_counts(document: str, path: str) -> None:
    assert find("a.jpg", ["train/a.jpg", "valid/a.jpg"], document) == path


def test_a_file_beside_another_document_is_that_documents() -> None:
    assert find("a.jpg", ["valid/a.jpg"], "train/x.json", ["train/x.json", "valid/x.json"]) == "no_file"
