"""Samples of more than 8 bits, and numbers of any range, become 8 bits.

Cameras, scanners and microscopes store 10, 12 or 14 bits in samples of 16: they are scaled by the range that they use,
or that the file declares.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS = (8, 10, 12, 14, 16)
_NATIVE, _FOREIGN = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_OTHER_ORDER = {"L": "B", "B": "L", "N": _FOREIGN}
_WHITE_IS_ZERO = 0
_PHOTOMETRIC, _MAX_SAMPLE, _SAMPLE_FORMAT, _UNSIGNED = 262, 281, 339, (1,)  # tags of a TIFF

Levels = NDArray[Any]


def to_8_bits(levels: Levels, declared_bits: int = 0) -> NDArray[np.uint8]:
    """Scale levels of any shape to 0..255 by the range that they use.

    That is the smallest of 8, 10, 12, 14 and 16 bits that holds them all, but no less than `declared_bits`. Floats from
    0 to 1 are shares; levels below 0, or beyond 16 bits, are stretched from the lowest to the highest.
    """
    is_float = levels.dtype.kind == "f"
    levels = np.nan_to_num(levels, posinf=0.0, neginf=0.0) if is_float else levels
    low, high = float(levels.min()), float(levels.max())
    if is_float and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high < 1 << _BITS[-1]:
        used = [bits for bits in _BITS if high < 1 << bits]
        low, high = 0.0, float((1 << next((bits for bits in used if bits >= declared_bits), used[-1])) - 1)
    scaled = levels.astype(np.float32)
    scaled -= low
    scaled *= 255.0 / (high - low) if high > low else 0.0
    scaled += 0.5
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def grey_to_8_bits(image: Image.Image, declared_bits: int) -> Image.Image:
    """Return a decoded grey image of more than 8 bits as L, or as LA if one of its levels is transparent."""
    tags = getattr(image, "tag_v2", {})
    if _MAX_SAMPLE in tags:
        declared_bits = int(np.max(tags[_MAX_SAMPLE])).bit_length()
    levels = np.asarray(image)
    if levels.dtype == np.int32 and tags.get(_SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED:  # Pillow has no mode for them
        levels = levels.view(np.uint32)
    pixels = to_8_bits(levels, declared_bits)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = ~pixels
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        return Image.fromarray(np.dstack((pixels, np.where(levels == clear, 0, 255).astype(np.uint8))))
    return Image.fromarray(pixels)


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether an open image has samples of 16 bits, of which Pillow would decode the higher byte alone."""
    modes = [_raw_mode(tile).partition(";16") for tile in _tiles(image)]
    return any(name in _DEEP_COLOURS and order in _OTHER_ORDER for name, _, order in modes)


def deep_colour_to_8_bits(high: Image.Image, low: Image.Image, declared_bits: int) -> Image.Image:
    """Return the image that is open twice, not yet decoded, as RGB or RGBA of 8 bits.

    Read in the other byte order, the samples' lower bytes seem to be the higher ones. Raises what decoding raises.
    """
    if any(_raw_mode(tile) == _GREY_WITH_ALPHA for tile in _tiles(low)):
        low.tile = [_with_raw_mode(tile, "RGBA") for tile in _tiles(low)]  # type: ignore[attr-defined]
        low.load()
        grey, alpha = np.moveaxis(np.frombuffer(low.tobytes(), ">u2").reshape(low.height, low.width, 2), 2, 0)
        return Image.fromarray(np.dstack((to_8_bits(grey, declared_bits), to_8_bits(alpha))))
    low.tile = [_with_raw_mode(tile, _in_other_order(_raw_mode(tile))) for tile in _tiles(low)]  # type: ignore[attr-defined]
    high.load()
    low.load()
    levels: NDArray[np.uint16] = np.asarray(high).astype(np.uint16) * np.uint16(256)
    levels += np.asarray(low)
    pixels = to_8_bits(levels[..., :3], declared_bits)
    return Image.fromarray(pixels if levels.shape[2] == 3 else np.dstack((pixels, to_8_bits(levels[..., 3]))))


_DEEP_COLOURS = ("RGB", "RGBA", "RGBX", "LA")
_GREY_WITH_ALPHA = "LA;16B"  # of a PNG: each pixel is four bytes, as one of RGBA is


def _tiles(image: Image.Image) -> list[Any]:
    return list(getattr(image, "tile", []))


def _raw_mode(tile: Any) -> str:
    raw_mode = tile.args if isinstance(tile.args, str) else tile.args[0] if tile.args else ""
    return raw_mode if isinstance(raw_mode, str) else ""


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    return tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))


def _in_other_order(raw_mode: str) -> str:
    name, _, order = raw_mode.partition(";16")
    return f"{name};16{_OTHER_ORDER[order]}"
