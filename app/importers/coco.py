"""COCO's instance annotations (Lin et al., ECCV 2014; cocodataset.org/#format-data): boxes of objects in images."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from app.importers.example import Example, ParsedRow, RejectedRow, parse_number
from app.importers.payload_files import PayloadFiles
from app.importers.text import decode_document
from models.base import Rejected

_MAX_COORDINATE = 1e6
_CROWD, _NO_CROWD = {"1", "1.0", "true"}, {"0", "0.0", "false", "none", ""}


class _Annotations(NamedTuple):
    """Annotations by the ids of their images, and how many of them can be of any image."""

    by_image: dict[str, list[Any]]
    without_image: int


def is_coco(document: bytes) -> bool:
    """Return whether a JSON document may be COCO's: a damaged one, too."""
    text = document.replace(b"\0", b"")  # UTF-16
    return b'"images"' in text and b'"annotations"' in text


def read_examples(document: bytes, name: str, files: PayloadFiles, path: str = "") -> Iterator[ParsedRow]:
    """Yield each image with its boxes, `[x0, y0, x1, y1]` in pixels. `path` is the document's among the `files`.

    Ids may be numbers or text: 1 is "1". An image without objects is an example too. Regions of a crowd (`iscrowd`) are
    not boxes of one object and are left out. An image is rejected if its boxes may be incomplete: if one of its
    annotations is broken; if it has none, and some annotations are of images that are not listed; and all images, if an
    annotation does not say of which image it is. Raises `Rejected` if the document is not COCO's.
    """
    content = _parse_document(document, name)
    images, labels = content["images"], _label_names(content["categories"])
    annotations = _group_by_image(content["annotations"])
    ids = [_id_of(image.get("id")) if isinstance(image, dict) else None for image in images]
    unlisted = sum(map(len, (annotations.by_image[image_id] for image_id in annotations.by_image.keys() - set(ids))))
    uris = [_find_image(image, files, path) for image in images]
    repeated_ids, repeated_uris = _repeated(ids), _repeated(uris)
    for number, (image_id, uri) in enumerate(zip(ids, uris, strict=True)):
        where = f"{name}:images[{number}]"
        try:
            if isinstance(uri, Rejected):
                raise uri
            if image_id is None:
                raise Rejected("bad_image", "an image needs an id and a file_name")
            if image_id in repeated_ids or uri in repeated_uris:
                raise Rejected("which_image", "another image has the same id or is the same file")
            own = annotations.by_image.get(image_id, [])
            _check_complete(annotations.without_image, 0 if own else unlisted)
            boxes = [_parse_box(annotation, labels) for annotation in own if not _is_crowd(annotation)]
            yield Example(where, uri, uri, {"boxes": boxes})
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))


def _parse_document(document: bytes, name: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(decode_document(document, name))  # NaN is read: it may be in a field that is not needed
    except (ValueError, RecursionError) as error:
        raise Rejected("not_json", f"{name} is not valid JSON: {error}") from None
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(field), list) for field in lists):
        raise Rejected("not_coco", f"{name} is not COCO's: it needs lists of images, annotations and categories")
    return content


def _id_of(value: Any) -> str | None:
    """Return an id as text: of 1, 1.0 and "1" the same. None if it is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None if isinstance(value, int | str) and not isinstance(value, bool) else None


def _label_names(categories: list[Any]) -> dict[str, str | None]:
    """Return the categories' names by id; None where an id has two names, or one that is not a text."""
    labels: dict[str, str | None] = {}
    for category in categories:
        category_id = _id_of(category.get("id")) if isinstance(category, dict) else None
        if category_id is not None:
            label = category.get("name") if isinstance(category.get("name"), str) else None
            labels[category_id] = label if labels.get(category_id, label) == label else None
    return labels


def _group_by_image(annotations: list[Any]) -> _Annotations:
    by_image: dict[str, list[Any]] = defaultdict(list)
    without_image = 0
    for annotation in annotations:
        image_id = _id_of(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if image_id is None:
            without_image += 1
        else:
            by_image[image_id].append(annotation)
    return _Annotations(by_image, without_image)


def _find_image(image: Any, files: PayloadFiles, path: str) -> str | Rejected:
    name = image.get("file_name") if isinstance(image, dict) else None
    if not isinstance(name, str):
        return Rejected("bad_image", "an image needs an id and a file_name")
    try:
        return files.find(name, path)
    except Rejected as error:
        return error


def _repeated(values: list[Any]) -> set[str]:
    return {value for value, count in Counter(v for v in values if isinstance(v, str)).items() if count > 1}


def _check_complete(without_image: int, unlisted: int) -> None:
    if without_image:
        reason = f"{without_image} annotations of the file have no valid `image_id`: each may be of this image"
        raise Rejected("unjoined_annotations", reason)
    if unlisted:
        reason = f"it has no annotation, but {unlisted} are of images that are not listed: some may be of this one"
        raise Rejected("unjoined_annotations", reason)


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    value = annotation.get("iscrowd")
    text = str(value).strip().lower()
    if text not in _CROWD | _NO_CROWD:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: iscrowd is {value!r}; 0 or 1 is needed")
    return text in _CROWD


def _parse_box(annotation: Mapping[str, Any], labels: Mapping[str, str | None]) -> dict[str, Any]:
    box, label = annotation.get("bbox"), labels.get(_id_of(annotation.get("category_id")) or "")
    if label is None:
        reason = f"annotation {annotation.get('id')}: there is no one category {annotation.get('category_id')!r}"
        raise Rejected("bad_annotation", reason)
    if not isinstance(box, list) or len(box) != 4:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: a bbox is [x, y, width, height]")
    x, y = (parse_number(value, "bbox", -_MAX_COORDINATE, _MAX_COORDINATE) for value in box[:2])
    width, height = (parse_number(value, "bbox", 0, _MAX_COORDINATE) for value in box[2:])
    return {"box": [x, y, x + width, y + height], "label": label}
