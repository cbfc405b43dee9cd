"""What a source looks like, on this machine and on an S3 server."""

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


def put_all(kind: Format, put: Put) -> None:
    for name, text in FILES[kind].items():
        put(name, text.encode())


def into(directory: Path) -> Put:
    def put(name: str, data: bytes) -> None:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)

    return put


@pytest.mark.parametrize("kind", FILES)
def test_a_directory_is_read_as_what_it_looks_like(tmp_path: Path, kind: Format) -> None:
    put_all(kind, into(tmp_path))
    places = SourceReader(Settings())
    source = open_source(places, str(tmp_path), None)
    assert source.format == kind
    first = next(iter(source.read_examples()))
    assert isinstance(first, Example)
    if isinstance(first.payload, str):
        assert places.read(first.payload, 3) == b"one"
    assert [*open_source(places, str(tmp_path), kind).read_examples()] == [*source.read_examples()]


@pytest.mark.parametrize("kind", FILES)
def test_a_single_file_says_the_same_of_the_payloads_around_it(tmp_path: Path, kind: Format) -> None:
    put_all(kind, into(tmp_path))
    places = SourceReader(Settings())
    file = tmp_path / next(iter(FILES[kind]))
    from_directory, from_file = (list(open_source(places, str(at), None).read_examples()) for at in (tmp_path, file))
    assert [one.payload for one in from_file if isinstance(one, Example)] == [
        one.payload for one in from_directory if isinstance(one, Example)
    ]


@pytest.mark.parametrize("kind", FILES)
def test_an_s3_prefix_says_the_same_as_a_directory(tmp_path: Path, s3_server: S3Server, kind: Format) -> None:
    settings = Settings(**s3_server.overrides(f"imports-{kind}"))
    client = s3.create_client(settings)
    client.make_bucket(f"imports-{kind}")

    def put(name: str, data: bytes) -> None:
        (tmp_path / "file").write_bytes(data)
        client.fput_object(f"imports-{kind}", f"some data/{name}", str(tmp_path / "file"))

    put_all(kind, put)
    put_all(kind, into(tmp_path / "local"))
    places = SourceReader(settings)
    source = open_source(places, f"s3://imports-{kind}/some data", None)
    there, here = list(source.read_examples()), list(open_source(places, str(tmp_path / "local"), None).read_examples())
    assert [(type(one), one.where) for one in there] == [(type(one), one.where) for one in here]
    [first, *_] = there
    assert isinstance(first, Example)
    if isinstance(first.payload, str):
        assert places.read(first.payload, 3) == b"one"
        with pytest.raises(Rejected, match="there is no such object"):
            places.read(f"{first.payload}.gone", 3)
    single = open_source(places, f"s3://imports-{kind}/some data/{next(iter(FILES[kind]))}", None)
    assert len(list(single.read_examples())) == len(there)
    for nothing in (f"s3://imports-{kind}/other", "s3://", "s3://no-such-bucket-here/x"):
        with pytest.raises(SetupError):
            open_source(places, nothing, None)


@pytest.mark.parametrize(
    ("name", "wanted"), [("nowhere", None), ("", None), ("readme.md", None), ("labels.csv", "coco"), ("x.json", None)]
)
def test_a_source_that_says_nothing_is_refused_with_a_remedy(tmp_path: Path, name: str, wanted: Format | None) -> None:
    for there in ("readme.md", "labels.csv", "x.json"):
        if name == there:
            (tmp_path / there).write_text("{}")
    with pytest.raises(SetupError) as caught:
        list(open_source(SourceReader(Settings()), str(tmp_path / name), wanted).read_examples())
    assert caught.value.remedy


def test_what_can_not_be_read_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"1234")
    places = SourceReader(Settings())
    for uri, code in (
        ((tmp_path / "large").as_uri(), "too_large"),
        ((tmp_path / "none").as_uri(), "unreadable"),
        (tmp_path.as_uri(), "unreadable"),
        ("file:///%00", "unreadable"),
        ("s3://", "unreadable"),
        ("blob://x", "blob_invalid"),
    ):
        with pytest.raises(Rejected) as caught:
            places.read(uri, 3)
        assert caught.value.code == code
    assert places.read((tmp_path / "large").as_uri(), 4) == b"1234"


def test_a_line_that_is_too_long_costs_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("app.importers.locations", "app.importers.example"):
        monkeypatch.setattr(f"{module}.MAX_LINE", 50)
    long = json.dumps({"path": "x" * 500, "label": "1"})
    (tmp_path / "labels.jsonl").write_text(f'{long}\n{{"path": "a", "label": "1"}}\n')
    first, second = open_source(SourceReader(Settings()), str(tmp_path), None).read_examples()
    assert isinstance(first, RejectedRow)
    assert first.code == "too_long"
    assert isinstance(second, Example)
    assert second.where == "labels.jsonl:2"
