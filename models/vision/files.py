"""From the bytes of an image file to an upright, opaque picture of 8 bits, bounded before anything is decoded.

Of a file with several pictures (pages, frames) the first is read, or the one that the file says is the main one.
"""

import warnings
from typing import NamedTuple

from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose

from models.base import Rejected
from models.vision.alpha import opaque
from models.vision.depth import deep_colour_to_8_bits, grey_to_8_bits, is_deep_colour
from models.vision.formats import candidate_formats, open_image
from models.vision.headers import check_file, is_cut, significant_bits
from models.vision.jpeg import MAX_EXIF, check_written
from models.vision.refusals import broken, truncated

MAX_PIXELS = 64_000_000
"""Of a file, whatever its format: a phone's camera of 50 megapixels, within the memory of a preprocessing worker."""
MAX_DECODED_PIXELS = 16_000_000
"""A larger JPEG is decoded at a half, a quarter or an eighth of its width and height."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""
_SIDEWAYS = {5, 6, 7, 8}
_HEIC_PROPERTIES = 256 * 1024  # where they are: before the pixels
_SCALES = (1, 2, 4, 8)
_DEEP_GREYS = ("I", "F")
_UNKNOWN_HEADER = "its header can't be read, or says that its pixels are of a rare kind. Save it again, as PNG"


class Picture(NamedTuple):
    """An opaque image as it is displayed, and the width and height of the file's, of which a large one is reduced."""

    image: Image.Image
    width: int
    height: int


def read_upright(payload: bytes) -> Picture:
    """Read a file and turn it as its EXIF orientation says; damaged EXIF is ignored.

    Raises `Rejected`: `empty`, `not_an_image`, `truncated`, `broken`, `too_many_pixels`, `too_complex`, `unsupported`.
    """
    formats = candidate_formats(payload)
    checked = check_file(payload, formats[0])
    with warnings.catch_warnings():  # one for each damaged tag would fill the log
        warnings.simplefilter("ignore")
        try:
            image, (width, height) = _decoded(checked, formats)
            if len(checked) > len(payload):  # a JPEG file without its end marker
                check_written(image)
        except (Rejected, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise Rejected("too_many_pixels", f"{error}: at most {MAX_PIXELS:,} are read; send it smaller") from error
        except UnidentifiedImageError as error:  # its text names an object
            is_short = any(is_cut(payload, name) for name in formats)
            raise (truncated() if is_short else broken(_UNKNOWN_HEADER)) from error
        except Exception as error:  # a decoder fed with damaged data raises almost anything
            if "truncated" in str(error) or any(is_cut(payload, name) for name in formats):
                raise truncated() from error
            raise broken(str(error)) from error
        orientation = _orientation(image, payload)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Picture(opaque(image), width, height)


def _decoded(payload: bytes, formats: list[str]) -> tuple[Image.Image, tuple[int, int]]:
    """Return the image of 8 bits, as it is stored, and its size in the file."""
    image = open_image(payload, formats)
    size = image.size
    check_pixels(*size)
    bits = significant_bits(payload) if image.format == "PNG" else 0
    if is_deep_colour(image):
        deep = deep_colour_to_8_bits(image, open_image(payload, formats), bits)
        deep.info = {key: value for key, value in image.info.items() if key != "transparency"}
        return deep, size
    scale = next((scale for scale in _SCALES if size[0] * size[1] <= MAX_DECODED_PIXELS * scale**2), _SCALES[-1])
    if scale > 1:
        image.draft(None, (max(1, size[0] // scale), max(1, size[1] // scale)))
    image.load()
    return _to_8_bits(image, bits), image.size if scale == 1 else size


def _to_8_bits(image: Image.Image, declared_bits: int) -> Image.Image:
    if image.mode.startswith(_DEEP_GREYS):
        result = grey_to_8_bits(image, declared_bits)
    elif image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
        assert converted is not None  # it is not made in place
        result = converted
    else:
        return image
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return result


def _orientation(image: Image.Image, payload: bytes) -> int:
    """Return the EXIF orientation of an image that the decoder has not turned; 1 if there is none.

    A HEIC file turns its picture by properties (ISO/IEC 23008-12, 6.5.10), for which EXIF speaks where there are none.
    """
    if image.format == "HEIF":
        turned = any(name in payload[:_HEIC_PROPERTIES] for name in (b"irot", b"imir"))
        return 1 if turned else int(image.info.get("original_orientation") or 1)
    for name, most in (("exif", MAX_EXIF), ("Raw profile type exif", 3 * MAX_EXIF)):  # of a PNG; the latter in digits
        if len(image.info.get(name) or "") > most:
            return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # whatever damaged EXIF makes the parser raise: the pixels are sound
        return 1


def check_pixels(width: int, height: int) -> None:
    """Raise `Rejected`: `broken` for an image without pixels, `too_many_pixels` for one with more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise broken(f"it declares {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise Rejected(
            "too_many_pixels", f"{width} x {height} pixels: at most {MAX_PIXELS:,} are read; send it smaller"
        )
