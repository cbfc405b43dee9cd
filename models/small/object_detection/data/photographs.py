"""The photographs that scenes are composed on, in `photographs/`, made smaller; no split shares one with another."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from models.small.object_detection.data.objects import Split

FOLDER = Path(__file__).parents[1] / "photographs"


@dataclass(frozen=True)
class Photograph:
    """A file, and whose it is."""

    name: str
    author: str
    licence: str
    source: str

    def image(self) -> Image.Image:
        """Return the picture in RGB."""
        return Image.open(FOLDER / f"{self.name}.jpg").convert("RGB")


def _lomiri(name: str, author: str, title: str, licence: str = "CC BY 4.0") -> Photograph:
    return Photograph(name, author, licence, f"{title}, of the Debian package lomiri-wallpapers-16.04")


def _sklearn(name: str, author: str, title: str) -> Photograph:
    return Photograph(name, author, "CC BY 2.0", f"{title}, of scikit-learn's sample images")


PHOTOGRAPHS: dict[Split, tuple[Photograph, ...]] = {
    "train": (
        _lomiri("mountain", "Aitzol Berasategi", "aitzgorri"),
        _lomiri("stream", "Aitzol Berasategi", "life"),
        _lomiri("path", "Aitzol Berasategi", "picosdeeuropa"),
        _lomiri("dandelions", "Clemens Engelhardt", "seeding", "CC0 1.0"),
        _lomiri("fig", 'Trevor "Freespace"', "Picture_0B"),
        _lomiri("colours", "Abhishek Mudgal", "umang"),
        _sklearn("flower", "vultilion", "flower.jpg"),
    ),
    "validation": (
        _lomiri("sunset", "Aitzol Berasategi", "sunset"),
        _lomiri("dogs", "Aitzol Berasategi", "friends"),
    ),
    "held_out": (
        _lomiri("brushes", 'Trevor "Freespace"', "Picture_1A"),
        _sklearn("pagoda", "danielbuechele", "china.jpg"),
    ),
}


@cache
def photographs(split: Split) -> tuple[Image.Image, ...]:
    """Return the split's photographs."""
    return tuple(photograph.image() for photograph in PHOTOGRAPHS[split])
