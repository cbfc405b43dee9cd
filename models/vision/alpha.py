"""Transparent pictures become opaque: on white, or on black if what is drawn on them is light."""

from PIL import Image

_HALF = 128  # of 255: of opacity, and of brightness


def opaque(image: Image.Image) -> Image.Image:
    """Draw a picture with transparent pixels on whichever of white and black differs more; others as they are."""
    if not image.has_transparency_data:
        return image
    drawn = image.convert("RGBA")
    ground = (0, 0, 0, 255) if _is_light(drawn) else (255, 255, 255, 255)
    return Image.alpha_composite(Image.new("RGBA", drawn.size, ground), drawn)


def _is_light(drawn: Image.Image) -> bool:
    """Return whether the mean of what can be seen, before it is mixed with any ground, is lighter than half."""
    alpha = drawn.getchannel("A")
    lowest, highest = alpha.getextrema()
    if lowest == 255:  # everything is opaque
        return False
    visible = _HALF if isinstance(highest, int) and highest >= _HALF else 1
    mask = alpha.point([0] * visible + [255] * (256 - visible))
    counts = drawn.convert("RGB").convert("L").histogram(mask)
    total = sum(counts)
    return total > 0 and sum(level * count for level, count in enumerate(counts)) >= _HALF * total
