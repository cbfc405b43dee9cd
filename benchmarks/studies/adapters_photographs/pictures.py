"""Annotated pictures that packages ship, in two halves that share no object: photographs, and cut-outs of objects.

`pictures.json` says where each is from, and what is in it: boxes are per cent of the width and height.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image

from models.object_detection.boxes import overlaps
from models.small.object_detection.data.photographs import photographs as landscapes

LIST = Path(__file__).with_name("pictures.json")
LONGEST = 640
"""Of a picture's sides, pixels."""
_KEPT_SHARE, _LOST_SHARE = 0.6, 0.2  # of an object's area: what a part of a photograph shows is there, or is not
_TRIES = 20
_MAX_OVERLAP = 0.1


@dataclass(frozen=True)
class Scene:
    """A picture, and its objects: `{"box": [x0, y0, x1, y1], "label": ...}`, pixels."""

    image: Image.Image
    boxes: list[dict[str, Any]]
    group: str
    unsure_labels: Sequence[str] = ()
    unsure_regions: Sequence[list[float]] = ()
    """What may be in the picture too, or may be objects too: boxes there are neither right nor wrong."""


@dataclass(frozen=True)
class Pictures:
    """The files in `folder` that `pictures.json` lists; `entries` are some of them."""

    folder: Path
    photographs: Sequence[dict[str, Any]]
    cutouts: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, folder: Path) -> "Pictures":
        """Return all. Raises `ValueError` for a file that is missing, and says which package has it."""
        listed = json.loads(LIST.read_text())
        for entry in (*listed["photographs"], *listed["cut-outs"]):
            if not (folder / entry["name"]).is_file():
                source = entry.get("from") or f"tuxpaint-stamps-default of Debian, {entry['member']}"
                raise ValueError(f"{folder / entry['name']} is missing: take it from {source}")
        return cls(folder, listed["photographs"], listed["cut-outs"])

    def halves(self, seed: int) -> tuple["Pictures", "Pictures"]:
        """Return two halves of the groups; pictures of one group have objects in common."""
        rng = np.random.default_rng([seed, 31])
        chosen: set[str] = set()
        for entries in (self.photographs, self.cutouts):
            groups = sorted({_group(entry) for entry in entries})
            chosen |= {groups[place] for place in rng.permutation(len(groups))[: len(groups) // 2]}
        return self._of(lambda entry: _group(entry) in chosen), self._of(lambda entry: _group(entry) not in chosen)

    def _of(self, belongs: Any) -> "Pictures":
        return Pictures(self.folder, list(filter(belongs, self.photographs)), list(filter(belongs, self.cutouts)))

    def whole(self) -> list[Scene]:
        """Return the photographs as they are."""
        return [self._photograph(entry) for entry in self.photographs]

    def view(self, rng: Generator) -> Scene:
        """Return part of a photograph, by chance, sometimes mirrored."""
        scene = self._photograph(self.photographs[int(rng.integers(len(self.photographs)))])
        for _ in range(_TRIES):
            size = np.array(scene.image.size)
            part = np.round(size * rng.uniform(0.6, 1.0, 2))
            corner = np.round(rng.uniform(0, 1, 2) * (size - part))
            window = np.concatenate((corner, corner + part))
            boxes = _seen(scene.boxes, window)
            if boxes is not None:
                scene = Scene(scene.image.crop(tuple(window.astype(int).tolist())), boxes, scene.group)
                break
        return _mirrored(scene) if rng.random() < 0.5 else scene

    def collage(self, split: Any, rng: Generator) -> Scene:
        """Return one or two cut-outs on part of a landscape of the split, with the group of the first."""
        choices = landscapes(split)
        ground = choices[int(rng.integers(len(choices)))]
        part = np.round(np.array(ground.size) * rng.uniform(0.5, 1.0, 2))
        left, top = np.round(rng.uniform(0, 1, 2) * (np.array(ground.size) - part))
        picture = ground.crop((int(left), int(top), int(left + part[0]), int(top + part[1])))
        picture = picture.resize((LONGEST, round(LONGEST * rng.uniform(0.6, 1.0))))
        boxes: list[dict[str, Any]] = []
        group = ""
        for _ in range(int(rng.integers(1, 3))):
            entry = self.cutouts[int(rng.integers(len(self.cutouts)))]
            if box := _pasted(picture, self._cutout(entry, rng), [box["box"] for box in boxes], rng):
                boxes.append({"box": box, "label": entry["label"]})
                group = group or _group(entry)
        return Scene(picture, boxes, group)

    def _photograph(self, entry: dict[str, Any]) -> Scene:
        image = _opened(self.folder / entry["name"])
        scale = np.array([*image.size, *image.size]) / 100
        boxes = [
            {"box": (np.array(edges) * scale).round(1).tolist(), "label": label} for label, *edges in entry["boxes"]
        ]
        unsure = entry.get("not counted", {"labels": [], "regions": []})
        regions = [(np.array(region) * scale).tolist() for region in unsure["regions"]]
        return Scene(image, boxes, _group(entry), unsure["labels"], regions)

    def _cutout(self, entry: dict[str, Any], rng: Generator) -> Image.Image:
        item = Image.open(self.folder / entry["name"]).convert("RGBA")
        scale = LONGEST * float(np.exp(rng.uniform(np.log(0.3), np.log(0.8)))) / max(item.size)
        item = item.resize((max(2, round(item.width * scale)), max(2, round(item.height * scale))))
        return item.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else item


def _group(entry: dict[str, Any]) -> str:
    return str(entry.get("group", entry["name"]))


@cache
def _opened(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    image.thumbnail((LONGEST, LONGEST))
    return image


def _seen(boxes: Sequence[dict[str, Any]], window: Any) -> list[dict[str, Any]] | None:
    """Return the boxes in a part of the picture; None where an object is neither in it nor outside."""
    seen = []
    for entry in boxes:
        box = np.array(entry["box"])
        cut = np.concatenate((np.maximum(box[:2], window[:2]), np.minimum(box[2:], window[2:])))
        share = np.prod(np.maximum(cut[2:] - cut[:2], 0)) / np.prod(box[2:] - box[:2])
        if share >= _KEPT_SHARE:
            seen.append({"box": (cut - np.tile(window[:2], 2)).tolist(), "label": entry["label"]})
        elif share > _LOST_SHARE:
            return None
    return seen


def _mirrored(scene: Scene) -> Scene:
    width = scene.image.width
    boxes = [
        {"box": [width - entry["box"][2], entry["box"][1], width - entry["box"][0], entry["box"][3]], "label": label}
        for entry in scene.boxes
        for label in [entry["label"]]
    ]
    return Scene(scene.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), boxes, scene.group)


def _pasted(picture: Image.Image, item: Image.Image, others: Sequence[Any], rng: Generator) -> list[float] | None:
    """Paste an item where it covers no other; return its box, or None where there is no room."""
    if item.height >= picture.height or item.width >= picture.width:
        return None
    for _ in range(_TRIES):
        left, top = int(rng.integers(picture.width - item.width)), int(rng.integers(picture.height - item.height))
        box = [float(left), float(top), float(left + item.width), float(top + item.height)]
        if not others or overlaps(np.array([box]), np.array(others)).max() <= _MAX_OVERLAP:
            picture.paste(item, (left, top), item)
            return box
    return None
