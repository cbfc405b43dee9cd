"""A small source of three rows in each layout of imports, and its damaged copies."""

import io
import json
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from app.importers.layouts import Format

Files = dict[str, bytes]
Damage = Callable[[Files], None]


class Layout(NamedTuple):
    """A small source of three rows, a damaged copy of which loses some; each damage with what is left of the rows."""

    files: Files
    damages: dict[str, tuple[Damage, tuple[int, int] | None]]
    """The numbers of examples and of rejected rows; None if nothing can be imported."""


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (10, 20), shade).save(file, "PNG")
    return file.getvalue()


def missing(name: str) -> Damage:
    return lambda files: files.__delitem__(name)


def replaced(name: str, old: bytes, new: bytes) -> Damage:
    def damage(files: Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return damage


def cut(name: str, size: int) -> Damage:
    return lambda files: files.update({name: files[name][:-size]})


def table(name: str, header: str, separator: str, rest: str = "") -> Layout:
    rows = "".join(f"{letter}.png{separator}{letter.upper()}{rest}\n" for letter in "abc")
    row = f"b.png{separator}B{rest}".encode()
    return Layout(
        {name: f"{header}{rows}".encode(), **{f"{letter}.png": letter.encode() for letter in "abc"}},
        {
            "missing file": (missing("b.png"), (2, 1)),
            "wrong id": (replaced(name, b"b.png", b"x.png"), (2, 1)),
            "Latin-1": (replaced(name, row, f"b.png{separator}é{rest}".encode("latin-1")), (2, 1)),
            "broken row": (replaced(name, row, b'b.png"'), (2, 1)),
            "two cells too many": (replaced(name, row, row + separator.encode() + b"x" + separator.encode()), (2, 1)),
        },
    )


def _jsonl() -> Layout:
    rows = "".join(json.dumps({"path": f"{letter}.png", "label": letter.upper()}) + "\n" for letter in "abc")
    return Layout(
        {"labels.jsonl": rows.encode(), **{f"{letter}.png": letter.encode() for letter in "abc"}},
        {
            "missing file": (missing("b.png"), (2, 1)),
            "wrong id": (replaced("labels.jsonl", b"b.png", b"x.png"), (2, 1)),
            "Latin-1": (replaced("labels.jsonl", b'"B"', b'"\xe9"'), (2, 1)),
            "broken row": (replaced("labels.jsonl", b'"B"}', b'"B"'), (2, 1)),
        },
    )


def _recordings(name: str, text: str, folder: str) -> Layout:
    return Layout(
        {name: text.encode(), **{f"{folder}1-{letter}.wav": letter.encode() for letter in "abc"}},
        {
            "missing file": (missing(f"{folder}1-b.wav"), (2, 1)),
            "wrong id": (replaced(name, b"1-b", b"1-x"), (2, 2)),
            "Latin-1": (replaced(name, b"B\n", b"\xe9\n"), (2, 2)),
        },
    )


def _common_voice() -> Layout:
    rows = "".join(f"ada\t{letter}.mp3\t{letter.upper()}\n" for letter in "abc")
    return Layout(
        {
            "validated.tsv": f"client_id\tpath\tsentence\n{rows}".encode(),
            "invalidated.tsv": b"client_id\tpath\tsentence\nada\ta.mp3\tWRONG\n",
            **{f"clips/{letter}.mp3": letter.encode() for letter in "abc"},
        },
        {
            "missing file": (missing("clips/b.mp3"), (2, 1)),
            "wrong id": (replaced("validated.tsv", b"b.mp3", b"x.mp3"), (2, 1)),
            "Latin-1": (replaced("validated.tsv", b"B\n", b"\xe9\n"), (2, 1)),
            "broken row": (replaced("validated.tsv", b"ada\tb.mp3", b"b.mp3"), (2, 1)),
            "open quote": (replaced("validated.tsv", b"B\n", b'"B\n'), (2, 1)),
        },
    )


def _boxes(names: dict[str, bytes]) -> Files:
    return names | {f"images/{letter}.png": picture(shade) for shade, letter in enumerate("abc")}


def _coco() -> Layout:
    document = {
        "images": [{"id": number, "file_name": f"{letter}.png"} for number, letter in enumerate("abc")],
        "annotations": [{"id": 7, "image_id": number, "category_id": 1, "bbox": [1, 2, 3, 4]} for number in (0, 1)],
        "categories": [{"id": 1, "name": "cup"}],
    }
    name = "annotations/instances.json"
    return Layout(
        _boxes({name: json.dumps(document).encode()}),
        {
            "missing file": (missing("images/b.png"), (2, 1)),
            "wrong id": (replaced(name, b'"image_id": 1', b'"image_id": 9'), (1, 2)),
            "id of another type": (replaced(name, b'"image_id": 1', b'"image_id": "1"'), (3, 0)),
            "no id": (replaced(name, b'"image_id": 1', b'"x": 1'), (0, 3)),
            "repeated id": (replaced(name, b'{"id": 2', b'{"id": 1'), (1, 2)),
            "unknown category": (replaced(name, b'1, "category_id": 1', b'1, "category_id": 2'), (2, 1)),
            "Latin-1": (replaced(name, b"cup", b"\xe9"), None),
            "cut": (cut(name, 20), None),
        },
    )


def _voc() -> Layout:
    box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>"
    found = f"<object><name>cup</name>{box}</object>"
    files = {
        f"Annotations/{letter}.xml": f"<annotation><filename>{letter}.png</filename><size/>{objects}</annotation>"
        for letter, objects in (("a", found), ("b", found), ("c", ""))
    }
    name = "Annotations/b.xml"
    return Layout(
        _boxes({path: text.encode() for path, text in files.items()}),
        {
            "missing file": (missing("images/b.png"), (2, 1)),
            "missing XML": (missing(name), (2, 1)),
            "wrong id": (replaced(name, b"b.png", b"x.png"), (2, 1)),
            "id of another": (replaced(name, b"b.png", b"a.png"), (2, 1)),
            "Latin-1": (replaced(name, b"cup", b"\xe9"), (2, 1)),
            "cut": (cut(name, 5), (2, 1)),
            "broken box": (replaced(name, b"<xmax>4", b"<xmax>x"), (2, 1)),
            "entity": (replaced(name, b"<annotation>", b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>'), (2, 1)),
        },
    )


def _yolo() -> Layout:
    files = {
        "data.yaml": b"names: {0: cup}\n",
        "labels/a.txt": b"0 0.25 0.2 0.3 0.2\n",
        "labels/b.txt": b"0 0.1 0.1 0.4 0.1 0.4 0.3\n",
        "labels/c.txt": b"",
    }
    return Layout(
        _boxes(files),
        {
            "missing file": (missing("images/b.png"), (2, 1)),
            "missing labels": (missing("labels/b.txt"), (2, 1)),
            "wrong id": (replaced("labels/b.txt", b"0 0.1", b"3 0.1"), (2, 1)),
            "Latin-1": (replaced("labels/b.txt", b"0 0.1", b"\xe9 0.1"), (2, 1)),
            "broken row": (replaced("labels/b.txt", b"0 0.1 0.1 ", b"0 0.1 "), (2, 1)),
            "pixels": (replaced("labels/b.txt", b"0.4", b"40"), (2, 1)),
            "broken picture": (cut("images/b.png", 40), (2, 1)),
            "no names": (replaced("data.yaml", b"{0: cup}", b"[]"), None),
        },
    )


def _bandit() -> Layout:
    rows = "".join(f"{letter},{letter},0.5,{reward}\n" for letter, reward in zip("abc", (0, 1, 0), strict=True))
    name = "clicks.csv"
    return Layout(
        {name: f"x,action,propensity,reward\n{rows}".encode()},
        {
            "wrong propensity": (replaced(name, b"b,0.5", b"b,0"), (2, 1)),
            "Latin-1": (replaced(name, b"b,b", b"\xe9,b"), (2, 1)),
            "broken row": (replaced(name, b"b,b", b'"b,b'), (2, 1)),
        },
    )


def _dsjson() -> Layout:
    rows = [
        {"_label_cost": -reward, "_label_probability": 0.5, "_label_Action": 1, "_labelIndex": 0, "EventId": letter}
        | {"a": [1, 2], "p": [0.5, 0.5], "c": {"shared": {"x": letter}, "_multi": [{"id": letter}, {"id": "z"}]}}
        for letter, reward in zip("abc", (0, 1, 0), strict=True)
    ]
    name = "clicks.jsonl"
    return Layout(
        {name: "".join(json.dumps(row) + "\n" for row in rows).encode()},
        {
            "wrong action": (
                replaced(name, b'"_labelIndex": 0, "EventId": "b"', b'"_labelIndex": 1, "EventId": "b"'),
                (2, 1),
            ),
            "wrong propensity": (
                replaced(name, b'-1, "_label_probability": 0.5', b'-1, "_label_probability": 0.9'),
                (2, 1),
            ),
            "Latin-1": (replaced(name, b'"x": "b"', b'"x": "\xe9"'), (2, 1)),
            "broken row": (replaced(name, b'"EventId": "b"', b'"EventId": "b'), (2, 1)),
        },
    )


LAYOUTS: dict[tuple[Format, str], Layout] = {
    ("csv", "commas"): table("labels.csv", "path,label\n", ","),
    ("csv", "semicolons"): table("labels.csv", "path;label;x\n", ";", ";x"),
    ("csv", "tabs"): table("labels.tsv", "path\tlabel\n", "\t"),
    ("jsonl", ""): _jsonl(),
    ("paddleocr", ""): table("labels.txt", "", "\t"),
    ("librispeech", ""): _recordings("1/1.trans.txt", "1-a A\n1-b B\n1-c C\n", "1/"),
    ("ljspeech", ""): _recordings("metadata.csv", "1-a|x|A\n1-b|x|B\n1-c|x|C\n", "wavs/"),
    ("commonvoice", ""): _common_voice(),
    ("coco", ""): _coco(),
    ("voc", ""): _voc(),
    ("yolo", ""): _yolo(),
    ("bandit", ""): _bandit(),
    ("dsjson", ""): _dsjson(),
}
