import numpy as np
from PIL import Image

from models.vision.grey import to_grey


def drawn(paper: tuple[int, int, int], ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (40, 20), paper)
    image.paste(ink, (10, 5, 30, 15))
    return image


def contrast(image: Image.Image) -> int:
    return int(np.ptp(np.asarray(image).astype(int)))


def test_a_colour_becomes_its_luminance() -> None:
    assert contrast(to_grey(drawn((255, 255, 255), (0, 0, 255)))) > 200


def test_colours_of_equal_luminance_are_told_apart() -> None:
    image = drawn((255, 0, 0), (0, 130, 0))
    assert contrast(image.convert("L")) < 10
    assert contrast(to_grey(image)) > 100
