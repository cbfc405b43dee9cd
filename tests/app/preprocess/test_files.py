import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SetupError
from app.events.cloudevents import JSON, Origin, TopicId, complete_event
from app.events.types import PredictionRequested
from app.preprocess.files import build_request, kind_of_file, list_uris

ORIGIN = Origin(TopicId("batch"), "letters.requests", 0, 0, 0)
BLOB = "blob://sha256/" + "0" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "inner/c #1?.txt", ".hidden", ".git/config", "inner/.hidden"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "folder"


def test_a_directory_lists_every_file_below_it_in_a_stable_order_without_hidden_ones(folder: Path) -> None:
    names = [f"{folder.as_uri()}/{name}" for name in ("a.txt", "b.txt", quote("inner/c #1?.txt"))]
    assert list_uris([str(folder)]) == names


def test_a_hidden_directory_is_read_if_it_is_named(folder: Path) -> None:
    assert list_uris([str(folder / ".git")]) == [(folder / ".git" / "config").as_uri()]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("line.png", "image"),
        ("a.jpg", "image"),
        ("a.wav", "audio"),
        ("labels.csv", "text"),
        ("samples.json", "application/json"),
        ("held_out.npz", "application/octet-stream"),
        ("no suffix", None),
        ("a.unknown", None),
    ],
)
def test_the_kind_of_a_file_is_known_by_its_name(name: str, kind: str | None) -> None:
    assert kind_of_file(Path(name)) == kind


def test_files_that_are_no_payloads_are_read_only_if_they_are_named(folder: Path) -> None:
    named, other = folder / "a.txt", (folder / "b.txt").as_uri()
    uris = list_uris([str(folder), str(named)], lambda path: path.name == "b.txt")
    assert uris == [other, named.as_uri()]


def test_sources_keep_their_order(folder: Path) -> None:
    sources = [str(folder / "b.txt"), BLOB, str(folder / "a.txt")]
    assert list_uris(sources) == [(folder / "b.txt").as_uri(), BLOB, (folder / "a.txt").as_uri()]


def test_relative_paths_are_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert list_uris(["a.txt"]) == [(folder / "a.txt").as_uri()]
    assert list_uris(["."]) == list_uris([str(folder)])


def test_an_empty_directory_has_no_uris(tmp_path: Path) -> None:
    assert list_uris([str(tmp_path)]) == []


def test_a_source_that_does_not_exist_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="gone is neither a file, a directory nor a blob:// URI"):
        list_uris([str(tmp_path / "gone")])


NAMES = [b"a.txt", b"a #1?%20.txt", "日本\u3000.txt".encode(), b"\xff\xfe.txt"]


@pytest.mark.parametrize("name", NAMES)
def test_the_request_of_a_file_holds_its_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"\x00payload")
    [uri] = list_uris([str(path)])
    value, headers = build_request(uri, "7", 100)
    assert value == b"\x00payload"
    event = complete_event(headers, value, ORIGIN, PredictionRequested.type)
    assert (event.source, event.subject, event.content_type) == ("hindsight/batch/7", uri, None)


def test_the_request_of_a_blob_is_a_claim_check() -> None:
    value, headers = build_request(BLOB, "7", 100)
    assert json.loads(value) == {"uri": BLOB}
    assert complete_event(headers, value, ORIGIN, PredictionRequested.type).content_type == JSON


@pytest.mark.parametrize(("size", "claimed"), [(100, False), (101, True)])
def test_the_request_of_a_file_above_the_limit_is_a_claim_check(tmp_path: Path, size: int, claimed: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    value, headers = build_request(path.as_uri(), "7", 100)
    assert (value == b"x" * size) is not claimed
    assert (dict(headers).get("content-type") == JSON.encode()) is claimed


def test_the_request_of_a_missing_file_is_a_claim_check(tmp_path: Path) -> None:
    uri = (tmp_path / "gone").as_uri()
    assert json.loads(build_request(uri, "7", 100)[0]) == {"uri": uri}


@given(st.tuples(st.uuids().map(str), st.text(max_size=9)), st.tuples(st.uuids().map(str), st.text(max_size=9)))
def test_requests_have_one_id_only_if_batch_and_uri_are_equal(first: tuple[str, str], second: tuple[str, str]) -> None:
    ids = [dict(build_request(f"blob://{quote(name)}", batch, 1)[1])["ce_id"] for batch, name in (first, second)]
    assert (ids[0] == ids[1]) == (first == second)


def test_a_uri_too_long_for_an_attribute_does_not_become_the_subject() -> None:
    headers = build_request("blob://" + "0" * 600, "7", 100)[1]
    assert "ce_subject" not in dict(headers)
    complete_event(headers, b"", ORIGIN, PredictionRequested.type)
