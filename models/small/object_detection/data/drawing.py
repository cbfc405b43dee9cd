"""How objects are drawn: a pen for the unit square, colours, and light on what was drawn."""

import colorsys
import math

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw, ImageFilter

TILE = 128
"""Side of a drawn object's image, pixels."""
_DETAIL = 2  # drawn this many times larger, for smooth edges
_SIDE = TILE * _DETAIL

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Pen:
    """Draws in the unit square, upon nothing."""

    def __init__(self) -> None:
        self._sheet = Image.new("RGBA", (_SIDE, _SIDE))
        self._draw = ImageDraw.Draw(self._sheet)

    def tile(self) -> Image.Image:
        """Return what is drawn, RGBA, 128 x 128 pixels."""
        return self._sheet.resize((TILE, TILE), Image.Resampling.BOX)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        """Return a filled polygon."""
        self._draw.polygon([(x * _SIDE, y * _SIDE) for x, y in points], fill=fill)

    def ellipse(self, box: tuple[float, float, float, float], fill: Colour | None, width: float = 0.0) -> None:
        """Return a filled ellipse; with `width` a ring of it."""
        edges = [edge * _SIDE for edge in box]
        if width:
            self._draw.ellipse(edges, outline=fill, width=max(1, round(width * _SIDE)))
        else:
            self._draw.ellipse(edges, fill=fill or (0, 0, 0, 0))

    def slab(self, box: tuple[float, float, float, float], fill: Colour, radius: float = 0.0) -> None:
        """Return a filled rectangle with round corners."""
        self._draw.rounded_rectangle([edge * _SIDE for edge in box], radius * _SIDE, fill=fill)

    def wedge(self, box: tuple[float, float, float, float], start: float, end: float, fill: Colour) -> None:
        """Return a filled sector, angles in degrees."""
        self._draw.pieslice([edge * _SIDE for edge in box], start, end, fill=fill)


def colour(
    rng: Generator, saturation: tuple[float, float] = (0.35, 1.0), value: tuple[float, float] = (0.3, 1.0)
) -> Colour:
    """Return a colour of any hue."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return round(255 * red), round(255 * green), round(255 * blue)


def lit(tile: Image.Image, rng: Generator, round_body: bool) -> Image.Image:
    """Return the object with light from one side and a rough surface; a round body darker towards its edge."""
    across = np.linspace(-1, 1, TILE, dtype=np.float32)
    x, y = across[None, :], across[:, None]
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.35)
    light = 1 + np.float32(strength) * (np.float32(math.cos(angle)) * x + np.float32(math.sin(angle)) * y)
    if round_body:
        light = light * (1.05 - np.float32(rng.uniform(0.2, 0.5)) * (x * x + y * y))
    grain = rng.standard_normal((TILE // 2, TILE // 2), np.float32)
    rough = Image.fromarray(np.clip(128 + 24 * grain, 0, 255).astype(np.uint8)).resize((TILE, TILE))
    rough = rough.filter(ImageFilter.GaussianBlur(1))
    light = light + np.float32(rng.uniform(0.0, 0.25)) * (np.asarray(rough, np.float32) / 128 - 1)
    shade = Image.fromarray(np.clip(light * 180, 0, 255).astype(np.uint8))
    shaded = ImageChops.multiply(tile.convert("RGB"), Image.merge("RGB", (shade,) * 3)).point(
        lambda level: min(255, level * 255 // 180)
    )
    shaded.putalpha(tile.getchannel("A"))
    return shaded
