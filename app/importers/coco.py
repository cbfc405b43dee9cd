"""COCO's annotations of instances (Lin et al., ECCV 2014; cocodataset.org/#format-data): boxes of objects in images."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from app.importers.example import Example, ParsedRow, RejectedRow, parse_json, parse_number
from models.base import Rejected

_MAX_COORDINATE = 1e6


def read_examples(document: bytes, name: str, files: Mapping[str, str]) -> Iterator[ParsedRow]:
    """Each image with its boxes, `[x0, y0, x1, y1]` in pixels. `files` are the URIs of all files there, by their paths.

    An image with no object in it is an example too. Regions of a crowd (`iscrowd`) are no boxes of one object, and are
    left out. An image with one broken annotation is unusable as a whole: its other boxes would say that there is
    nothing else. Raises `Rejected` for what is no such document.
    """
    said = parse_json(document.decode(errors="replace"), name)
    try:
        images, annotations = list(said["images"]), list(said["annotations"])
        labels = {category["id"]: str(category["name"]) for category in said["categories"]}
    except (TypeError, KeyError) as error:
        raise Rejected("not_coco", f"{name} has no images, annotations and categories: {error}") from None
    of_image: dict[Any, list[Any]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        try:
            of_image[annotation["image_id"]].append(annotation)
        except (TypeError, KeyError):
            yield RejectedRow(f"{name}:annotations[{number}]", "bad_annotation", "it names no image by `image_id`")
    by_file = _group_by_file_name(files)
    for number, image in enumerate(images):
        where = f"{name}:images[{number}]"
        try:
            its = of_image.pop(image["id"], [])
            uri = _find_image(image, by_file)
            yield Example(
                where, uri, uri, {"boxes": [_parse_box(one, labels) for one in its if not one.get("iscrowd")]}
            )
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))
        except (TypeError, KeyError) as error:
            yield RejectedRow(where, "bad_image", f"an image has an id and a file_name: {error}")
    for image_id, left in of_image.items():
        yield RejectedRow(
            f"{name}:annotations", "no_image", f"{len(left)} are of an image {image_id!r}, which is not listed"
        )


def _group_by_file_name(files: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Paths with their URIs, by the last part of the path."""
    found = defaultdict(list)
    for path, uri in files.items():
        found[path.rpartition("/")[2]].append((path, uri))
    return found


def _find_image(image: Mapping[str, Any], files: Mapping[str, list[tuple[str, str]]]) -> str:
    """The URI of an image: of the one file whose path ends with its name."""
    name = str(image["file_name"])
    matching = [uri for path, uri in files.get(name.rpartition("/")[2], ()) if f"/{path}".endswith(f"/{name}")]
    if not matching:
        raise Rejected("no_file", f"there is no file {name!r}")
    if len(matching) > 1:
        raise Rejected("which_file", f"there is more than one file {name!r}: {', '.join(sorted(matching)[:3])}")
    return matching[0]


def _parse_box(annotation: Mapping[str, Any], labels: Mapping[Any, str]) -> dict[str, Any]:
    category, box = annotation.get("category_id"), annotation.get("bbox")
    if category not in labels:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: there is no category {category!r}")
    if not isinstance(box, list) or len(box) != 4:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: a bbox is [x, y, width, height]")
    x, y = (parse_number(value, "bbox", -_MAX_COORDINATE, _MAX_COORDINATE) for value in box[:2])
    width, height = (parse_number(value, "bbox", 0, _MAX_COORDINATE) for value in box[2:])
    return {"box": [x, y, x + width, y + height], "label": labels[category]}
