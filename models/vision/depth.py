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
_PHOTOMETRIC, _MAX_SAMPLE = 262, 281  # tags of a TIFF

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
    if isinstance(most := tags.get(_MAX_SAMPLE), int):
        declared_bits = most.bit_length()
    levels = np.asarray(image)
    pixels = to_8_bits(levels, declared_bits)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        return Image.fromarray(np.dstack((pixels, np.where(levels == clear, 0, 255).astype(np.uint8))))
    return Image.fromarray(pixels)


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether an open image has samples of 16 bits, of which Pillow would decode the higher byte alone."""
    return bool(_raw_modes(image)) and all(name in _CHANNELS for name, _ in _raw_modes(image))


def deep_colour_to_8_bits(high: Image.Image, low: Image.Image, declared_bits: int) -> Image.Image:
    """Return the image that is open twice, not yet decoded, as RGB or RGBA of 8 bits.

    Read in the other byte order, the samples' lower bytes seem to be the higher ones. Raises what decoding raises.
    """
    [(name, _), *_] = _raw_modes(low)
    low.tile = [_in_other_order(tile) for tile in low.tile]  # type: ignore[attr-defined]  # of an ImageFile
    high.load()
    low.load()
    levels = np.asarray(low).astype(np.uint16) | np.asarray(high).astype(np.uint16) << 8
    if name == "LA":  # one grey in three channels
        levels = levels[..., [0, 0, 0, 3]]
    pixels = to_8_bits(levels[..., :3], declared_bits)
    return Image.fromarray(pixels if levels.shape[2] == 3 else np.dstack((pixels, to_8_bits(levels[..., 3]))))


_CHANNELS = ("RGB", "RGBA", "RGBX")


def _raw_modes(image: Image.Image) -> list[tuple[str, str]]:
    """Return the name and the byte order of each tile's 16-bit samples; none if they are not of 16 bits."""
    modes = [str(tile.args if isinstance(tile.args, str) else tile.args[0]) for tile in getattr(image, "tile", ())]
    parts = [mode.partition(";16") for mode in modes]
    return [(name, order) for name, _, order in parts if order in _OTHER_ORDER]


def _in_other_order(tile: Any) -> Any:
    raw_mode = tile.args if isinstance(tile.args, str) else tile.args[0]
    name, _, order = raw_mode.partition(";16")
    swapped = f"{name};16{_OTHER_ORDER[order]}"
    return tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:]))
