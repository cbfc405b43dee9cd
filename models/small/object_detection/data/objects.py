"""Objects drawn with Pillow: seven classes, each with shapes, colours and patterns by chance.

An instance is the class and a number: the same number draws the same object, and no split shares one with another.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.random import Generator
from PIL import Image

from models.small.object_detection.data.drawing import Colour, Pen, colour, lit
from models.small.object_detection.labels import LABELS

Split = Literal["train", "validation", "held_out"]
INSTANCES: dict[Split, range] = {
    "train": range(300),
    "validation": range(1_000, 1_100),
    "held_out": range(1_100, 1_200),
}


def drawn(label: str, instance: int) -> Image.Image:
    """Return the object upright, RGBA, 128 x 128 pixels, transparent around it."""
    rng = np.random.default_rng([LABELS.index(label), instance])
    pen = Pen()
    _DRAW[label](pen, rng)
    return lit(pen.tile(), rng, round_body=label == "ball")


def _pale(rng: Generator) -> Colour:
    return colour(rng, (0.0, 0.15), (0.85, 1.0))


def _ball(pen: Pen, rng: Generator) -> None:
    whole = (0.06, 0.06, 0.94, 0.94)
    first, second = colour(rng), _pale(rng) if rng.random() < 0.6 else colour(rng)
    pen.ellipse(whole, first)
    pattern = rng.integers(3)
    if pattern == 0:
        wedges, turn = 2 * int(rng.integers(2, 5)), rng.uniform(0, 360)
        for number in range(0, wedges, 2):
            pen.wedge(whole, turn + number * 360 / wedges, turn + (number + 1) * 360 / wedges, second)
        pen.ellipse((0.44, 0.44, 0.56, 0.56), _pale(rng))
    elif pattern == 1:
        half, middle = rng.uniform(0.06, 0.16), rng.uniform(0.4, 0.6)
        heights = [middle - half, middle + half]
        arcs = [[(0.5 + side * 0.44 * math.sqrt(1 - ((y - 0.5) / 0.44) ** 2), y) for side in (-1, 1)] for y in heights]
        pen.polygon([*arcs[0], *reversed(arcs[1])], second)
    else:
        radius = rng.uniform(0.07, 0.11)
        for angle in np.linspace(0, 2 * math.pi, int(rng.integers(4, 7)), endpoint=False):
            x, y = 0.5 + 0.27 * math.cos(angle), 0.5 + 0.27 * math.sin(angle)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), second)


def _book(pen: Pen, rng: Generator) -> None:
    width, thick = rng.uniform(0.52, 0.7), rng.uniform(0.05, 0.11)
    left, top, bottom = 0.5 - width / 2, 0.06, 0.94
    right = left + width
    cover = colour(rng, value=(0.25, 0.85))
    pages = [(left + thick, top), (right + thick / 2, top + thick), (right + thick / 2, bottom), (left + thick, bottom)]
    pen.polygon(pages, _pale(rng))
    pen.slab((left, top, right, bottom - thick), cover, 0.02)
    pen.polygon(
        [(left, bottom - thick), (right, bottom - thick), (right + thick / 2, bottom), (left + thick, bottom)],
        _pale(rng),
    )
    darker = tuple(level * 6 // 10 for level in cover)
    pen.slab((left, top, left + rng.uniform(0.06, 0.1), bottom - thick), (darker[0], darker[1], darker[2]))
    title = _pale(rng) if rng.random() < 0.7 else colour(rng)
    y = top + rng.uniform(0.1, 0.2)
    for _ in range(int(rng.integers(1, 4))):
        pen.slab((left + 0.16, y, right - rng.uniform(0.06, 0.2), y + 0.05), title)
        y += 0.09
    if rng.random() < 0.6:
        middle, radius = (left + right + 0.08) / 2, rng.uniform(0.07, 0.12)
        pen.ellipse((middle - radius, 0.6 - radius, middle + radius, 0.6 + radius), title)


def _bottle(pen: Pen, rng: Generator) -> None:
    wide, neck = rng.uniform(0.15, 0.22), rng.uniform(0.05, 0.08)
    shoulder, body = rng.uniform(0.24, 0.32), rng.uniform(0.38, 0.46)
    glass = colour(rng, (0.3, 0.95), (0.2, 0.85))
    pen.slab((0.5 - neck, 0.06, 0.5 + neck, body), glass)
    pen.polygon([(0.5 - neck, shoulder), (0.5 + neck, shoulder), (0.5 + wide, body), (0.5 - wide, body)], glass)
    pen.slab((0.5 - wide, body - 0.02, 0.5 + wide, 0.97), glass, 0.04)
    cap = neck + 0.012
    pen.slab((0.5 - cap, 0.03, 0.5 + cap, rng.uniform(0.09, 0.13)), colour(rng), 0.01)
    top = body + rng.uniform(0.06, 0.12)
    label = _pale(rng) if rng.random() < 0.6 else colour(rng)
    pen.slab((0.5 - wide, top, 0.5 + wide, top + rng.uniform(0.16, 0.28)), label)
    pen.slab((0.5 - wide * 0.6, top + 0.05, 0.5 + wide * 0.6, top + 0.09), colour(rng))
    pen.slab((0.5 - wide * 0.8, top + 0.3, 0.5 - wide * 0.6, 0.9), tuple(min(255, c + 60) for c in glass))  # type: ignore[arg-type]


def _key(pen: Pen, rng: Generator) -> None:
    metal = colour(rng, (0.0, 0.6), (0.55, 1.0)) if rng.random() < 0.7 else colour(rng)
    bow, shaft = rng.uniform(0.18, 0.23), rng.uniform(0.05, 0.07)
    top = 0.04
    shape = rng.integers(3)
    if shape == 0:
        pen.ellipse((0.5 - bow, top, 0.5 + bow, top + 2 * bow), metal, rng.uniform(0.06, 0.08))
    elif shape == 1:
        pen.slab((0.5 - bow, top, 0.5 + bow, top + 2 * bow), metal, 0.06)
    else:
        corners = [(0.5 + bow * math.sin(a), top + bow - bow * math.cos(a)) for a in np.arange(6) * math.pi / 3]
        pen.polygon(corners, metal)
    if shape:
        hole = bow * rng.uniform(0.35, 0.5)
        pen.ellipse((0.5 - hole, top + bow - hole, 0.5 + hole, top + bow + hole), None)
    pen.slab((0.5 - shaft, top + 2 * bow - 0.02, 0.5 + shaft, 0.96), metal, 0.01)
    y = 0.93
    for _ in range(int(rng.integers(2, 4))):
        high = rng.uniform(0.05, 0.08)
        pen.slab((0.5, y - high, 0.5 + rng.uniform(0.14, 0.2), y), metal)
        y -= high + rng.uniform(0.03, 0.05)


def _mug(pen: Pen, rng: Generator) -> None:
    left, right, bottom = 0.1, rng.uniform(0.66, 0.72), rng.uniform(0.8, 0.94)
    taper, lip = rng.uniform(0.0, 0.07), rng.uniform(0.05, 0.09)
    clay = colour(rng, (0.0, 1.0), (0.4, 1.0))
    grip = rng.uniform(0.05, 0.07)
    height = bottom - 0.15
    pen.ellipse((right - 0.17, 0.15 + 0.15 * height, 0.95, 0.15 + 0.8 * height), clay, grip)
    pen.polygon([(left, 0.15), (right, 0.15), (right - taper, bottom), (left + taper, bottom)], clay)
    pen.ellipse((left + taper, bottom - lip, right - taper, bottom + lip / 2), clay)
    if rng.random() < 0.7:
        low, high = (0.15 + share * height for share in (rng.uniform(0.35, 0.5), rng.uniform(0.6, 0.8)))
        inset = taper * 0.6
        pen.polygon(
            [(left + inset, low), (right - inset, low), (right - inset, high), (left + inset, high)], colour(rng)
        )
    pen.ellipse((left, 0.15 - lip, right, 0.15 + lip), clay)
    rim = 0.025
    inside = colour(rng, (0.3, 0.9), (0.1, 0.4))
    pen.ellipse((left + rim, 0.15 - lip + rim, right - rim, 0.15 + lip - rim / 2), inside)


def _sign(pen: Pen, rng: Generator) -> None:
    post = colour(rng, (0.0, 0.1), (0.4, 0.75))
    wide = rng.uniform(0.025, 0.04)
    pen.slab((0.5 - wide, 0.5, 0.5 + wide, 0.97), post)
    edge, face = [((200, 20, 30), _pale(rng)), ((230, 230, 230), (190, 20, 35)), ((240, 240, 240), (25, 70, 170)),
                  ((30, 30, 30), (245, 200, 20))][int(rng.integers(4))]  # fmt: skip
    corners, turn = [(3, 0.0), (8, math.pi / 8), (48, 0.0), (4, 0.0), (4, math.pi / 4)][int(rng.integers(5))]
    middle = 0.38 if corners == 3 else 0.34
    for radius, paint in ((0.33, edge), (0.33 - (0.09 if corners == 3 else 0.05), face)):
        angles = turn + np.arange(corners) * 2 * math.pi / corners
        pen.polygon([(0.5 + radius * math.sin(a), middle - radius * math.cos(a)) for a in angles], paint)
    mark = edge if rng.random() < 0.7 else (25, 25, 25)
    if rng.random() < 0.5:
        pen.slab((0.37, middle - 0.035, 0.63, middle + 0.035), mark)
    else:
        pen.slab((0.465, middle - 0.12, 0.535, middle + 0.1), mark)


def _star(pen: Pen, rng: Generator) -> None:
    points, depth = int(rng.integers(5, 8)), rng.uniform(0.4, 0.55)
    border, face = colour(rng), colour(rng, (0.5, 1.0), (0.6, 1.0))
    for size, paint in ((0.46, border), (rng.uniform(0.34, 0.44), face)):
        radii = [size if corner % 2 == 0 else size * depth for corner in range(2 * points)]
        angles = np.arange(2 * points) * math.pi / points
        pen.polygon([(0.5 + r * math.sin(a), 0.5 - r * math.cos(a)) for r, a in zip(radii, angles, strict=True)], paint)


_DRAW: dict[str, Callable[[Pen, Generator], None]] = {
    "ball": _ball,
    "book": _book,
    "bottle": _bottle,
    "key": _key,
    "mug": _mug,
    "sign": _sign,
    "star": _star,
}
