"""Detecting and reading the formats of sources, on this machine and on an S3 server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import SetupError
from app.importers.example import Example, RejectedRow
from app.importers.formats import open_source
from app.importers.layouts import Format
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
    "dsjson": {
        "clicks.dsjson": '{"_label_cost": 0, "_label_probability": 1, "_label_Action": 1, "EventId": "1", '
        '"c": {"_multi": [{}]}}\n'
    },
    "commonvoice": {
        "validated.tsv": "client_id\tpath\tsentence\nada\t1.mp3\tgo\n",
        "invalidated.tsv": "client_id\tpath\tsentence\nada\t2.mp3\tgo\n",
        "clips/1.mp3": "one",
        "clips/2.mp3": "two",
    },
    "ljspeech": {"metadata.csv": "LJ1|Dr. X|doctor x\n", "wavs/LJ1.wav": "one"},
    "paddleocr": {"labels.txt": "scans/1.png\tone\n", "scans/1.png": "one"},
    "voc": {"Annotations/1.xml": "<annotation><size/></annotation>", "JPEGImages/1.jpg": "one"},
    "yolo": {"data.yaml": "names: [cup]\n", "images/1.jpg": "one", "labels/1.txt": ""},
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


def put_texts(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        put_into(directory)(name.replace("__", "/").replace("_json", ".json").replace("_csv", ".csv"), text.encode())
    return directory


def test_a_table_without_a_header_is_a_setup_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a.png,Order 4711\n")
    for location in (tmp_path, tmp_path / "labels.csv"):
        with pytest.raises(SetupError, match="no columns `path` and `label`") as caught:
            open_source(SourceReader(Settings()), str(location), None)
        assert "--map" in caught.value.remedy


def test_other_documents_and_tables_are_passed_over(tmp_path: Path) -> None:
    document = json.dumps({"images": [], "annotations": [], "categories": []})
    put_texts(tmp_path / "coco", info_json="{}", result_json=document)
    put_texts(tmp_path / "csv", results_csv="epoch,loss\n1,2\n", labels_csv="path,label\na.png,1\n")
    for name, passed_over in (("coco", "info.json"), ("csv", "results.csv")):
        source = open_source(SourceReader(Settings()), str(tmp_path / name), None)
        assert source.format == name
        assert [uri.rpartition("/")[2] for uri in source.passed_over] == [passed_over]


def test_a_picture_in_two_parts_of_a_data_set_is_the_one_beside_the_document(tmp_path: Path) -> None:
    document = json.dumps({"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [], "categories": []})
    for part in ("train", "valid"):
        put_texts(tmp_path / part, result_json=document, **{"1.jpg": part})
    rows = list(open_source(SourceReader(Settings()), str(tmp_path), None).read_examples())
    assert [row.payload for row in rows if isinstance(row, Example)] == [
        (tmp_path / part / "1.jpg").as_uri() for part in ("train", "valid")
    ]
    (tmp_path / "train" / "1.jpg").unlink()
    missing, found = open_source(SourceReader(Settings()), str(tmp_path), None).read_examples()
    assert isinstance(missing, RejectedRow)
    assert isinstance(found, Example)


@pytest.mark.parametrize(
    ("written", "name"), [("sub\\a.png", "sub/a.png"), ("u\u0308.png", "\xfc.png"), ("\xfc.png", "u\u0308.png")]
)
def test_a_path_may_be_spelled_as_windows_or_macos_does(tmp_path: Path, written: str, name: str) -> None:
    put_into(tmp_path)("labels.csv", f"path,label\n{written},1\n".encode())
    put_into(tmp_path)(name, b"one")
    [example] = open_source(SourceReader(Settings()), str(tmp_path), None).read_examples()
    assert isinstance(example, Example)
    assert example.payload == (tmp_path / name).as_uri()


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    put_texts(tmp_path, labels_csv="file,text,label\na.png,one,7\n")
    names = {"file": "path", "text": "label"}
    [example] = open_source(SourceReader(Settings()), str(tmp_path), None, names).read_examples()
    assert isinstance(example, Example)
    assert (example.payload, example.correction) == ((tmp_path / "a.png").as_uri(), {"text": "one"})
    with pytest.raises(SetupError, match="no column words; it has: file, text, label"):
        open_source(SourceReader(Settings()), str(tmp_path), None, {"words": "label", **names})


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
    monkeypatch.setattr("app.importers.text.MAX_LINE", 50)
    long = json.dumps({"path": "x" * 500, "label": "1"})
    (tmp_path / "labels.jsonl").write_text(f'{long}\n{{"path": "a", "label": "1"}}\n')
    first, second = open_source(SourceReader(Settings()), str(tmp_path), None).read_examples()
    assert isinstance(first, RejectedRow)
    assert first.code == "too_long"
    assert isinstance(second, Example)
    assert second.where == "labels.jsonl:2"
