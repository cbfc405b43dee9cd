"""Detecting and reading the formats of sources, on this machine and on an S3 server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import SetupError
from app.importers.example import Example, RejectedRow
from app.importers.formats import Format, open_source
from app.importers.locations import SourceReader
from app.settings import Settings
from app.storage import s3
from models.base import Rejected
from tests.support.s3 import S3Server

FILES: dict[Format, dict[str, str]] = {
    "jsonl": {"labels.jsonl": '{"path": "scans/1.png", "label": "1"}\n', "scans/1.png": "one", "scans/.2.png": ""},
    "csv": {"a/labels.csv": "path,label\n1.png,1\n2.png,2\n", "a/1.png": "one"},
    "librispeech": {"84/1/84-1.trans.txt": "84-1-0 GO\n", "84/1/84-1-0.flac": "one"},
    "coco": {
        "annotations/instances_val.json": json.dumps(
            {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [], "categories": []}
        ),
        "annotations/captions_val.json": "{}",
        "val/1.jpg": "one",
    },
    "bandit": {"clicks.csv": "x,action,propensity,reward\n1,a,1,0\n", "readme.md": "one"},
}
Put = Callable[[str, bytes], None]


def put_all(file_format: Format, put: Put) -> None:
    for name, text in FILES[file_format].items():
        put(name, text.encode())


def put_into(directory: Path) -> Put:
    def put(name: str, data: bytes) -> None:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)

    return put


@pytest.mark.parametrize("file_format", FILES)
def test_the_format_of_a_directory_is_detected(tmp_path: Path, file_format: Format) -> None:
    put_all(file_format, put_into(tmp_path))
    reader = SourceReader(Settings())
    source = open_source(reader, str(tmp_path), None)
    assert source.format == file_format
    first = next(iter(source.read_examples()))
    assert isinstance(first, Example)
    if isinstance(first.payload, str):
        assert reader.read(first.payload, 3) == b"one"
    assert [*open_source(reader, str(tmp_path), file_format).read_examples()] == [*source.read_examples()]


@pytest.mark.parametrize("file_format", FILES)
def test_a_single_file_has_the_same_examples_as_its_directory(tmp_path: Path, file_format: Format) -> None:
    put_all(file_format, put_into(tmp_path))
    reader = SourceReader(Settings())
    file = tmp_path / next(iter(FILES[file_format]))
    from_directory, from_file = (
        [row.payload for row in open_source(reader, str(path), None).read_examples() if isinstance(row, Example)]
        for path in (tmp_path, file)
    )
    assert from_file == from_directory


@pytest.mark.parametrize("file_format", FILES)
def test_an_s3_prefix_has_the_same_examples_as_a_directory(
    tmp_path: Path, s3_server: S3Server, file_format: Format
) -> None:
    settings = Settings(**s3_server.overrides(f"imports-{file_format}"))
    client = s3.create_client(settings)
    client.make_bucket(f"imports-{file_format}")

    def put(name: str, data: bytes) -> None:
        (tmp_path / "file").write_bytes(data)
        client.fput_object(f"imports-{file_format}", f"some data/{name}", str(tmp_path / "file"))

    put_all(file_format, put)
    put_all(file_format, put_into(tmp_path / "local"))
    reader = SourceReader(settings)
    source = open_source(reader, f"s3://imports-{file_format}/some data", None)
    remote_rows = list(source.read_examples())
    local_rows = list(open_source(reader, str(tmp_path / "local"), None).read_examples())
    assert [(type(row), row.where) for row in remote_rows] == [(type(row), row.where) for row in local_rows]
    [first, *_] = remote_rows
    assert isinstance(first, Example)
    if isinstance(first.payload, str):
        assert reader.read(first.payload, 3) == b"one"
        with pytest.raises(Rejected, match="there is no such object"):
            reader.read(f"{first.payload}.gone", 3)
    single = open_source(reader, f"s3://imports-{file_format}/some data/{next(iter(FILES[file_format]))}", None)
    assert len(list(single.read_examples())) == len(remote_rows)
    for missing in (f"s3://imports-{file_format}/other", "s3://", "s3://no-such-bucket-here/x"):
        with pytest.raises(SetupError):
            open_source(reader, missing, None)


@pytest.mark.parametrize(
    ("name", "requested_format"),
    [("nowhere", None), ("", None), ("readme.md", None), ("labels.csv", "coco"), ("x.json", None)],
)
def test_a_source_without_examples_is_a_setup_error_with_a_remedy(
    tmp_path: Path, name: str, requested_format: Format | None
) -> None:
    if name in ("readme.md", "labels.csv", "x.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(SetupError) as caught:
        list(open_source(SourceReader(Settings()), str(tmp_path / name), requested_format).read_examples())
    assert caught.value.remedy


def test_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"1234")
    reader = SourceReader(Settings())
    for uri, code in (
        ((tmp_path / "large").as_uri(), "too_large"),
        ((tmp_path / "none").as_uri(), "unreadable"),
        (tmp_path.as_uri(), "unreadable"),
        ("file:///%00", "unreadable"),
        ("s3://", "unreadable"),
        ("blob://x", "blob_invalid"),
    ):
        with pytest.raises(Rejected) as caught:
            reader.read(uri, 3)
        assert caught.value.code == code
    assert reader.read((tmp_path / "large").as_uri(), 4) == b"1234"


def test_a_line_that_is_too_long_affects_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("app.importers.locations", "app.importers.example"):
        monkeypatch.setattr(f"{module}.MAX_LINE", 50)
    long = json.dumps({"path": "x" * 500, "label": "1"})
    (tmp_path / "labels.jsonl").write_text(f'{long}\n{{"path": "a", "label": "1"}}\n')
    first, second = open_source(SourceReader(Settings()), str(tmp_path), None).read_examples()
    assert isinstance(first, RejectedRow)
    assert first.code == "too_long"
    assert isinstance(second, Example)
    assert second.where == "labels.jsonl:2"
