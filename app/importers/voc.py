"""Pascal VOC's annotations (Everingham et al., IJCV 2010): one XML file per image, as labelImg writes it too."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
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


class _Images(NamedTuple):
    """Images by their names with and without suffix."""

    by_name: PayloadFiles
    by_stem: PayloadFiles

    def find(self, filename: str, document: str) -> str:
        """Return the URI of a document's `filename`, or without one of the image with the document's own name.

        Raises `Rejected`.
        """
        own_name = stem_of(document).rpartition("/")[2]
        if not filename.lower().endswith(PICTURE_SUFFIXES):
            return self.by_stem.find(own_name, document)
        own_uri = uri = self.by_name.find(filename, document)
        if stem_of(filename.replace("\\", "/")).rpartition("/")[2] != own_name:
            with suppress(Rejected):
                own_uri = self.by_stem.find(own_name, document)
        if own_uri != uri:
            raise Rejected("which_file", f"<filename> is {filename!r}, but {own_uri} has the name of the XML file")
        return uri


def read_examples(
    documents: Collection[str], files: Mapping[str, str], read: Callable[[str], bytes], is_whole: bool = True
) -> Iterator[ParsedRow]:
    """Yield each annotated image with its boxes, given the paths of all XML files. `files` maps paths to URIs.

    Corners are VOC's: whole pixels that are counted from 1, both included. So [1, 1, w, h] is the whole image, and
    becomes [0, 0, w, h]. If the documents are a whole data set, an image beside annotated ones that has no document
    is rejected.
    """
    pictures = {path: uri for path, uri in files.items() if path.lower().endswith(PICTURE_SUFFIXES)}
    images = _Images(PayloadFiles(files.items()), PayloadFiles((stem_of(path), uri) for path, uri in pictures.items()))
    rows = [_parse_file(path, read, images) for path in sorted(documents)]
    uses = Counter(row.payload for row in rows if isinstance(row, Example))
    for row in rows:
        if isinstance(row, Example) and uses[row.payload] > 1:
            yield RejectedRow(row.where, "which_image", "another document is of the same image")
        else:
            yield row
    folders = {path.rpartition("/")[0] for path, uri in pictures.items() if uri in uses and is_whole}
    named = {stem_of(path).rpartition("/")[2] for path in documents}
    for path, uri in sorted(pictures.items()):
        folder, _, name = stem_of(path).rpartition("/")
        if folder in folders and uri not in uses and name not in named:
            yield RejectedRow(path, "no_labels", "the image has no XML file")


def _parse_file(path: str, read: Callable[[str], bytes], images: _Images) -> ParsedRow:
    try:
        root = parse_xml(read(path), path)
        if root.tag != "annotation" or (root.find("size") is None and root.find("object") is None):
            raise Rejected("not_voc", f"{path} is not VOC's: an <annotation> with a <size> or an <object> is needed")
        uri = images.find((root.findtext("filename") or "").strip(), path)
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
