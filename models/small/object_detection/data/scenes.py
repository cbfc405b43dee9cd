"""Scenes: objects of any size and turn on part of a photograph, hiding each other, as a camera would take them.

Only numpy and Pillow: training makes its data with this, and `make run`, the benchmarks and the held-out set theirs,
from photographs and objects that no training ever sees.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from models.base import Sample
from models.small.object_detection.data.objects import INSTANCES, Split, drawn
from models.small.object_detection.data.photographs import photographs
from models.small.object_detection.labels import LABELS

SIDES = (160, 400)
"""Of a scene, pixels, shortest and longest."""
MAX_SCENE_OBJECTS = 5
SIZES = (0.22, 0.55)
"""An object's longer side, as a share of the scene's longer side."""
MIN_VISIBLE_SHARE = 0.6
"""Of each object: what hides more is not placed."""
_UPRIGHT = {
    "book": 60.0,
    "bottle": 40.0,
    "mug": 30.0,
    "sign": 20.0,
}  # degrees that these lean at most; the others lie anyhow
_TRIES = 25
_NO_OBJECT = -1

_drawn = lru_cache(maxsize=4096)(drawn)


@dataclass(frozen=True)
class Scene:
    """A picture, and the visible extent of each object in it."""

    image: Image.Image
    boxes: list[dict[str, Any]]
    """`{"box": [x0, y0, x1, y1], "label": ...}`, pixels."""


def compose(split: Split, rng: Generator) -> Scene:
    """Return a scene of the split's photographs and objects."""
    picture = _background(split, rng)
    owners = np.full((picture.height, picture.width), _NO_OBJECT, np.int16)
    labels: list[str] = []
    areas: list[int] = []
    objects, others = int(rng.integers(MAX_SCENE_OBJECTS + 1)), int(rng.integers(3))
    for is_object in rng.permutation([True] * objects + [False] * others).tolist():
        label = LABELS[int(rng.integers(len(LABELS)))]
        for _ in range(_TRIES):
            numbers = INSTANCES[split]
            item = (
                _turned(_drawn(label, numbers[int(rng.integers(len(numbers)))]), label, picture.size, rng)
                if is_object
                else _scrap(split, picture.size, rng)
            )
            at = (_place(picture.width, item.width, rng), _place(picture.height, item.height, rng))
            solid = np.asarray(item.getchannel("A")) > 127
            placed = _covered(owners, solid, at, len(labels) if is_object else _NO_OBJECT)
            grown = [*areas, int(solid.sum())] if is_object else areas
            counts = np.bincount(placed[placed != _NO_OBJECT], minlength=len(grown))
            if all(count >= MIN_VISIBLE_SHARE * area for count, area in zip(counts, grown, strict=True)):
                owners, areas = placed, grown
                labels += [label] * is_object
                if rng.random() < 0.5:
                    _shadow(picture, item, at, rng)
                picture.paste(item, at, item)
                break
    boxes = [{"box": _extent(owners == number), "label": label} for number, label in enumerate(labels)]
    return Scene(_photographed(picture, rng), boxes)


def _background(split: Split, rng: Generator) -> Image.Image:
    """Return part of a photograph, of any shape, sometimes mirrored, in other colours and other light."""
    choices = photographs(split)
    photograph = choices[int(rng.integers(len(choices)))]
    longer = rng.uniform(*SIDES)
    shorter = max(float(SIDES[0]), longer * rng.uniform(0.6, 1.0))
    width, height = (round(side) for side in ((longer, shorter) if rng.random() < 0.6 else (shorter, longer)))
    share = rng.uniform(0.35, 1.0) * min(photograph.width / width, photograph.height / height)
    part = (share * width, share * height)
    left, top = rng.uniform(0, photograph.width - part[0]), rng.uniform(0, photograph.height - part[1])
    box = (left, top, min(photograph.width, left + part[0]), min(photograph.height, top + part[1]))
    picture = photograph.resize((width, height), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        bands = picture.split()
        picture = Image.merge("RGB", [bands[int(band)] for band in rng.permutation(3)])
    return ImageEnhance.Color(picture).enhance(rng.uniform(0.3, 1.4))


def _turned(tile: Image.Image, label: str, scene: tuple[int, int], rng: Generator) -> Image.Image:
    """Return the object in its size, turned, seen a little from the side, in its own light."""
    size = max(scene) * math.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1])))
    lean = rng.uniform(-1, 1) * _UPRIGHT.get(label, 180.0)
    squeeze = rng.uniform(0.8, 1.0)
    tile = tile.crop(tile.getbbox())
    tile = tile.resize((max(2, round(tile.width * squeeze)), tile.height), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tile = tile.rotate(lean, Image.Resampling.BICUBIC, expand=True)
    tile = tile.crop(tile.getbbox())
    scale = size / max(tile.size)
    tile = tile.resize((max(2, round(tile.width * scale)), max(2, round(tile.height * scale))))
    lit = ImageEnhance.Brightness(tile.convert("RGB")).enhance(rng.uniform(0.7, 1.25))
    lit = ImageEnhance.Color(lit).enhance(rng.uniform(0.5, 1.1))
    lit.putalpha(tile.getchannel("A"))
    return lit


def _scrap(split: Split, scene: tuple[int, int], rng: Generator) -> Image.Image:
    """Return a distractor: a piece of a photograph or of one colour, with any number of corners."""
    choices = photographs(split)
    photograph = choices[int(rng.integers(len(choices)))]
    width, height = (max(4, round(max(scene) * rng.uniform(0.06, 0.3))) for _ in range(2))
    left, top = int(rng.integers(photograph.width - width)), int(rng.integers(photograph.height - height))
    piece = photograph.crop((left, top, left + width, top + height))
    if rng.random() < 0.4:
        piece = Image.new("RGB", (width, height), tuple(int(level) for level in rng.integers(256, size=3)))
    mask = Image.new("L", (width, height))
    corners = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    reach = rng.uniform(0.6, 1.0, corners)
    ImageDraw.Draw(mask).polygon(
        [
            (width / 2 * (1 + r * math.cos(a)), height / 2 * (1 + r * math.sin(a)))
            for r, a in zip(reach, angles, strict=True)
        ],
        fill=255,
    )
    piece.putalpha(mask)
    return piece


def _place(room: int, size: int, rng: Generator) -> int:
    """Return where it begins: at most 15 % of it beyond an edge."""
    return round(rng.uniform(-0.15 * size, room - 0.85 * size))


def _covered(
    owners: NDArray[np.int16], solid: NDArray[np.bool_], at: tuple[int, int], number: int
) -> NDArray[np.int16]:
    """Return the number of the object that is visible at each pixel once the item lies on top."""
    x, y = at
    rows = slice(max(0, y), min(owners.shape[0], y + solid.shape[0]))
    columns = slice(max(0, x), min(owners.shape[1], x + solid.shape[1]))
    covered = owners.copy()
    inside = solid[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    covered[rows, columns][inside] = number
    return covered


def _shadow(picture: Image.Image, item: Image.Image, at: tuple[int, int], rng: Generator) -> None:
    reach = max(1.0, 0.06 * max(item.size))
    soft = Image.new("L", (item.width + 8, item.height + 8))
    soft.paste(item.getchannel("A"), (4, 4))
    depth = rng.uniform(0.2, 0.6)
    soft = soft.filter(ImageFilter.GaussianBlur(reach / 2)).point(lambda level: int(level * depth))
    picture.paste((0, 0, 0), (at[0] - 4 + round(rng.uniform(-reach, reach)), at[1] - 4 + round(reach)), soft)


def _extent(seen: NDArray[np.bool_]) -> list[float]:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)]


def _photographed(picture: Image.Image, rng: Generator) -> Image.Image:
    """Add uneven light of some colour, blur and noise."""
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    levels = np.asarray(picture, np.float32)
    across = np.linspace(-0.5, 0.5, picture.width, dtype=np.float32)[None, :, None]
    down = np.linspace(-0.5, 0.5, picture.height, dtype=np.float32)[:, None, None]
    slope = rng.uniform(-0.2, 0.2, 2).astype(np.float32)
    tint = (rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    noise = rng.standard_normal(levels.shape, np.float32) * np.float32(max(0.0, rng.uniform(-4, 9)))
    levels = levels * (tint * (1 + slope[0] * across + slope[1] * down)) + noise
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Return the bytes of a JPEG file."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def samples(split: Split, rng: Generator, name: str) -> Iterator[Sample]:
    """Yield endless JPEG files of scenes with their truths."""
    for number in count():
        scene = compose(split, rng)
        payload = jpeg(scene.image, int(rng.integers(40, 96)))
        yield Sample(f"{name}-{number}.jpg", payload, "image/jpeg", {"boxes": scene.boxes})


def held_out_scenes(seed: int) -> Iterator[Sample]:
    """Return endless scenes of photographs and objects that no training sees; the same for the same seed."""
    return samples("held_out", np.random.default_rng(seed), f"scene-{seed}")


def make_payloads(number: int, seed: int) -> list[Sample]:
    """Return the first of `held_out_scenes`."""
    return list(islice(held_out_scenes(seed), number))
