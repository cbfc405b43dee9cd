"""The formats of image files that are read: what Pillow identifies, of a list of formats that people send.

Pillow knows many more. Each parser is code that strangers' bytes reach, so rare ones, and those that start other
programs (EPS), are left out.
"""

from io import BytesIO

import pillow_heif
from PIL import (  # each import registers a format
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from models.base import Rejected

pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # workers run in parallel

_PLUGINS = (
    PngImagePlugin.PngImageFile,
    JpegImagePlugin.JpegImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    GifImagePlugin.GifImageFile,
    AvifImagePlugin.AvifImageFile,
    pillow_heif.HeifImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    BmpImagePlugin.BmpImageFile,
)
FORMATS = tuple(str(plugin.format) for plugin in _PLUGINS)
_PREFIX_BYTES = 16  # what Pillow identifies a format by
_METADATA = (b"Exif", b"MPF\0")  # the names of EXIF and of a list of further pictures, in JPEG, AVIF and HEIC


def candidate_formats(payload: bytes) -> list[str]:
    """Return the formats that a file may have by its first bytes, at least one. Raises `Rejected`."""
    if not payload:
        raise Rejected("empty", "the value is empty: send the bytes of an image file, such as PNG or JPEG")
    prefix = payload[:_PREFIX_BYTES]
    names = [name for name in FORMATS if (accept := Image.OPEN[name][1]) is None or accept(prefix) is True]
    if names:
        return names
    if payload.lstrip()[:5] == b"%PDF-":
        raise Rejected("not_an_image", "PDF files are not read: send each page as a picture, such as PNG or TIFF")
    raise Rejected("not_an_image", f"no image file is known that starts with {payload[:8]!r}: send {_names()}")


def open_image(payload: bytes, formats: list[str]) -> Image.Image:
    """Parse a file's header as the first of the formats that fits. Damaged EXIF is ignored; Pillow's errors pass."""
    try:
        return _open(payload, formats)
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception:
        without = payload
        for name in _METADATA:
            without = without.replace(name, b"free", 1)
        if without == payload:
            raise
        return _open(without, formats)


def _open(payload: bytes, formats: list[str]) -> Image.Image:
    for name in formats[:-1]:  # AVIF and HEIC files may begin alike
        try:
            return Image.open(BytesIO(payload), formats=(name,))
        except (OSError, ValueError, RuntimeError):
            continue
    return Image.open(BytesIO(payload), formats=formats[-1:])


def _names() -> str:
    return "PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF, HEIC or JPEG 2000"
