"""COCO's instance annotations (Lin et al., ECCV 2014; cocodataset.org/#format-data): boxes of objects in images."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from app.importers.example import Example, ParsedRow, RejectedRow, parse_json, parse_number
from models.base import Rejected

_MAX_COORDINATE = 1e6


def read_examples(document: bytes, name: str, files: Mapping[str, str]) -> Iterator[ParsedRow]:
    """Yield each image with its boxes, `[x0, y0, x1, y1]` in pixels. `files` maps the paths of all files to their URIs.

    An image without objects is an example too. Regions of a crowd (`iscrowd`) are not boxes of one object and are left
    out. An image with one broken annotation is rejected, because without that box its boxes would be incomplete. Raises
    `Rejected` if the document is not COCO's.
    """
    content = parse_json(document.decode(errors="replace"), name)
    try:
        images, annotations = list(content["images"]), list(content["annotations"])
        labels = {category["id"]: str(category["name"]) for category in content["categories"]}
    except (TypeError, KeyError) as error:
        raise Rejected("not_coco", f"{name} has no images, annotations and categories: {error}") from None
    annotations_by_image: dict[Any, list[Any]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        try:
            annotations_by_image[annotation["image_id"]].append(annotation)
        except (TypeError, KeyError):
            yield RejectedRow(f"{name}:annotations[{number}]", "bad_annotation", "the annotation has no `image_id`")
    files_by_name = _group_by_file_name(files)
    for number, image in enumerate(images):
        where = f"{name}:images[{number}]"
        try:
            objects = [
                annotation for annotation in annotations_by_image.pop(image["id"], []) if not annotation.get("iscrowd")
            ]
            uri = _find_image(image, files_by_name)
            yield Example(where, uri, uri, {"boxes": [_parse_box(annotation, labels) for annotation in objects]})
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))
        except (TypeError, KeyError) as error:
            yield RejectedRow(where, "bad_image", f"an image needs an id and a file_name: {error}")
    for image_id, orphans in annotations_by_image.items():
        yield RejectedRow(
            f"{name}:annotations", "no_image", f"{len(orphans)} are of an image {image_id!r}, which is not listed"
        )


def _group_by_file_name(files: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return paths with their URIs, grouped by the last part of the path."""
    groups = defaultdict(list)
    for path, uri in files.items():
        groups[path.rpartition("/")[2]].append((path, uri))
    return groups


def _find_image(image: Mapping[str, Any], files: Mapping[str, list[tuple[str, str]]]) -> str:
    """Return the URI of the only file whose path ends with the image's name. Raises `Rejected`."""
    name = str(image["file_name"])
    matches = [uri for path, uri in files.get(name.rpartition("/")[2], ()) if f"/{path}".endswith(f"/{name}")]
    if not matches:
        raise Rejected("no_file", f"there is no file {name!r}")
    if len(matches) > 1:
        raise Rejected("which_file", f"there is more than one file {name!r}: {', '.join(sorted(matches)[:3])}")
    return matches[0]


def _parse_box(annotation: Mapping[str, Any], labels: Mapping[Any, str]) -> dict[str, Any]:
    category, box = annotation.get("category_id"), annotation.get("bbox")
    if category not in labels:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: there is no category {category!r}")
    if not isinstance(box, list) or len(box) != 4:
        raise Rejected("bad_annotation", f"annotation {annotation.get('id')}: a bbox is [x, y, width, height]")
    x, y = (parse_number(value, "bbox", -_MAX_COORDINATE, _MAX_COORDINATE) for value in box[:2])
    width, height = (parse_number(value, "bbox", 0, _MAX_COORDINATE) for value in box[2:])
    return {"box": [x, y, x + width, y + height], "label": labels[category]}
