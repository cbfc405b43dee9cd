"""YOLO's labels as Ultralytics lays them out: `images/x.jpg` and `labels/x.txt`, or both in one folder.

Each line of a label file is a class and the centre, width and height of a box as shares of the image; or a class and
the corners of a polygon (docs.ultralytics.com/datasets/detect, /segment). The classes' names are in `data.yaml`, or in
`classes.txt`, one per line.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from app.importers.example import Example, ParsedRow, RejectedRow, parse_number
from app.importers.payload_files import PICTURE_SUFFIXES, stem_of
from app.importers.text import decode_document
from models.base import Rejected

MAX_LABEL_BYTES = 4 * 1024 * 1024
CLASS_FILES = ("classes.txt", "obj.names")
_OTHER_TEXTS = {"classes.txt", "train.txt", "val.txt", "test.txt", "predefined_classes.txt"}
_SLACK = 0.01
"""How far outside of the image, as a share of it, rounding may put a corner."""

Size = tuple[int, int]


def read_examples(
    files: Mapping[str, str], names: Mapping[int, str], read: Callable[[str], bytes], measure: Callable[[str], Size]
) -> Iterator[ParsedRow]:
    """Yield each image with its boxes, `[x0, y0, x1, y1]` in pixels. `files` maps paths to URIs.

    `read` returns a label file, `measure` the width and height of an upright image; both take a path. A polygon becomes
    the box around it. An image without a label file is rejected: an empty file says that nothing is there.
    """
    images: dict[str, list[str]] = {}
    for path in files:
        if path.lower().endswith(PICTURE_SUFFIXES):
            images.setdefault(_label_path(path), []).append(path)
    folders = {label.rpartition("/")[0] for label in images if label in files}
    for label, paths in sorted(images.items()):
        for path in paths:
            try:
                if label not in files:
                    raise Rejected("no_labels", f"there is no {label}; an empty one says that nothing is in the image")
                if len(paths) > 1:
                    raise Rejected("which_file", f"{label} may be of each of {', '.join(paths[:3])}")
                boxes = parse_boxes(decode_document(read(label), label), names, partial(measure, path))
                yield Example(label, files[path], files[path], {"boxes": boxes})
            except Rejected as error:
                yield RejectedRow(path, error.code, str(error))
    for path in sorted(files.keys() - images.keys()):
        folder, _, name = path.rpartition("/")
        is_label = name.endswith(".txt") and name not in _OTHER_TEXTS and not name.lower().startswith("readme")
        if is_label and (folder in folders or "labels" in folder.split("/")):
            yield RejectedRow(path, "no_file", "there is no image for this label file")


def _label_path(image: str) -> str:
    """Return where the labels of an image are: in `labels/`, where the image is in `images/`, else beside it."""
    before, separator, after = f"/{stem_of(image)}.txt".rpartition("/images/")
    return f"{before}/labels/{after}"[1:] if separator else after[1:]


def read_names(documents: Mapping[str, bytes]) -> dict[int, str]:
    """Return the names of the classes by number, from a source's files of names. Raises `Rejected`."""
    found = {path: _parse_names(document, path) for path, document in documents.items()}
    if not found:
        raise Rejected("no_names", "there is no data.yaml or classes.txt with the names of the classes")
    (first, names), *others = found.items()
    for path, other in others:
        if other != names:
            raise Rejected("which_names", f"{first} and {path} name different classes")
    return names


def _parse_names(document: bytes, path: str) -> dict[int, str]:
    text = decode_document(document, path)
    names: Any = text.split("\n")
    if path.endswith((".yaml", ".yml")):
        try:
            content = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Rejected("no_names", f"{path} is not valid YAML: {error}") from None
        if not isinstance(content, dict) or "kpt_shape" in content:
            raise Rejected("no_names", f"{path} has no names of classes, or is of a data set of poses")
        names = content.get("names")
        if isinstance(names, list | dict) and content.get("nc", len(names)) != len(names):
            raise Rejected("no_names", f"{path} has {len(names)} names for {content['nc']} classes (nc)")
    items = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    named = {number: str(name).strip() for number, name in items if str(name).strip()}
    if not named or not all(isinstance(number, int) for number in named):
        raise Rejected("no_names", f"{path} has no names of classes")
    return named


def parse_boxes(text: str, names: Mapping[int, str], measure: Callable[[], Size]) -> list[dict[str, Any]]:
    """Return the boxes of a label file. Raises `Rejected`: a line that is left out would make them incomplete."""
    boxes = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        class_number, *values = (parse_number(value, f"line {number}", -_SLACK, 1e6) for value in line.split())
        label = names.get(int(class_number)) if class_number.is_integer() else None
        if label is None:
            raise Rejected("bad_annotation", f"line {number}: there is no class {class_number:g}")
        width, height = measure()
        x0, y0, x1, y1 = _parse_corners(values, number)
        boxes.append({"box": [x0 * width, y0 * height, x1 * width, y1 * height], "label": label})
    return boxes


def _parse_corners(values: list[float], line: int) -> list[float]:
    """Return `[x0, y0, x1, y1]` as shares of the image, of a box or of a polygon."""
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        reason = "a box is 4 numbers after its class, a polygon 6 or more, in pairs; a confidence is not of a label"
        raise Rejected("bad_annotation", f"line {line} has {len(values)}: {reason}")
    if max(values) > 1 + _SLACK:
        raise Rejected("bad_annotation", f"line {line}: shares of the image are needed, from 0 to 1, not pixels")
    if len(values) == 4:
        x, y, width, height = values
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    else:
        corners = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
    return [min(1.0, max(0.0, corner)) for corner in corners]
