"""Pascal VOC's annotations (Everingham et al., IJCV 2010): one XML file per image, as labelImg writes it too."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from app.importers.example import Example, ParsedRow, RejectedRow, parse_number
from app.importers.payload_files import PICTURE_SUFFIXES, PayloadFiles, stem_of
from models.base import Rejected

MAX_BYTES = 4 * 1024 * 1024
_MAX_COORDINATE = 1e6


class _Builder(ElementTree.TreeBuilder):
    """Refuses document types, and with them all entities (CWE-776, CWE-611)."""

    def doctype(self, name: str, public_id: str | None, system: str | None) -> None:
        raise Rejected("not_voc", "the XML declares a document type, which annotations do not have")


def read_examples(
    documents: Collection[str], files: Mapping[str, str], read: Callable[[str], bytes], is_whole: bool = True
) -> Iterator[ParsedRow]:
    """Yield each annotated image with its boxes, given the paths of all XML files. `files` maps paths to URIs.

    Corners are VOC's: whole pixels that are counted from 1, both included. So [1, 1, w, h] is the whole image, and
    becomes [0, 0, w, h]. If the documents are a whole data set, an image beside annotated ones that has no document
    is rejected.
    """
    payloads = PayloadFiles(files)
    pictures = {stem_of(path): path for path in files if path.lower().endswith(PICTURE_SUFFIXES)}
    rows = [_parse_file(path, read, payloads, pictures, files) for path in sorted(documents)]
    uses = Counter(row.payload for row in rows if isinstance(row, Example))
    for row in rows:
        if isinstance(row, Example) and uses[row.payload] > 1:
            yield RejectedRow(row.where, "which_image", "another document is of the same image")
        else:
            yield row
    paths = {uri: path for path, uri in files.items()}
    folders = {paths[uri].rpartition("/")[0] for uri in uses if isinstance(uri, str) and is_whole}
    named = {stem_of(path).rpartition("/")[2] for path in documents}
    for path in sorted(pictures.values()):
        folder, _, name = stem_of(path).rpartition("/")
        if folder in folders and files[path] not in uses and name not in named:
            yield RejectedRow(path, "no_labels", "the image has no XML file")


def _parse_file(
    path: str,
    read: Callable[[str], bytes],
    payloads: PayloadFiles,
    pictures: Mapping[str, str],
    files: Mapping[str, str],
) -> ParsedRow:
    try:
        root = parse_xml(read(path), path)
        if root.tag != "annotation" or (root.find("size") is None and root.find("object") is None):
            raise Rejected("not_voc", f"{path} is not VOC's: an <annotation> with a <size> or an <object> is needed")
        uri = _find_image(root, path, payloads, pictures, files)
        return Example(path, uri, uri, {"boxes": [_parse_object(element) for element in root.findall("object")]})
    except Rejected as error:
        return RejectedRow(path, error.code, str(error))


def parse_xml(document: bytes, name: str) -> ElementTree.Element:
    """Return the root of an XML document without a document type. Raises `Rejected`."""
    parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - what makes XML unsafe is refused
    try:
        parser.feed(document)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Rejected("not_voc", f"{name} is not valid XML: {error}") from None
    return root


def _find_image(
    root: ElementTree.Element, path: str, payloads: PayloadFiles, pictures: Mapping[str, str], files: Mapping[str, str]
) -> str:
    """Return the URI of the document's `filename`, or of the file with the document's own name."""
    name, beside = (root.findtext("filename") or "").strip(), pictures.get(stem_of(path))
    if not name.lower().endswith(PICTURE_SUFFIXES):
        if beside is None:
            raise Rejected("no_file", f"there is no file for <filename> {name!r}, and none beside the XML file")
        return files[beside]
    uri = payloads.find(name, path)
    if beside is not None and files[beside] != uri:
        raise Rejected("which_file", f"<filename> is {name!r}, but {beside} is beside the XML file")
    return uri


def _parse_object(element: ElementTree.Element) -> dict[str, Any]:
    label, box = (element.findtext("name") or "").strip(), element.find("bndbox")
    if not label or box is None:
        raise Rejected("bad_annotation", "an <object> needs a <name> and a <bndbox>")
    x0, y0, x1, y1 = (
        parse_number(box.findtext(corner), corner, 0, _MAX_COORDINATE) for corner in ("xmin", "ymin", "xmax", "ymax")
    )
    if x1 < x0 or y1 < y0:
        raise Rejected("bad_annotation", f"the box of {label!r} ends before it begins")
    return {"box": [max(0.0, x0 - 1), max(0.0, y0 - 1), x1, y1], "label": label}
