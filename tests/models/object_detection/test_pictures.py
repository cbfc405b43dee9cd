"""A file becomes the square that the network sees, and boxes find their way back."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.base import Rejected
from models.object_detection.pictures import MIN_CONTRAST, SIDE, Size, features_of, has_content


def file(image: Image.Image, orientation: int = 1) -> bytes:
    exif, content = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    image.save(content, "PNG", exif=exif)
    return content.getvalue()


def test_a_picture_is_stretched_to_the_square_and_its_size_is_that_which_is_displayed() -> None:
    picture = Image.new("RGB", (640, 100), "white")
    picture.paste("black", (0, 0, 320, 100))
    features = features_of(file(picture))
    assert features["image"].shape == (SIDE, SIDE, 3)
    assert features["image"].dtype == np.uint8
    assert features["size"].tolist() == [640, 100]
    assert features["image"][:, : SIDE // 2 - 5].max() == 0
    assert features["image"][:, SIDE // 2 + 5 :].min() == 255

    turned = features_of(file(picture, orientation=6))
    assert turned["size"].tolist() == [100, 640]
    assert turned["image"][: SIDE // 2 - 5].max() == 0


def test_shares_become_pixels_inside_the_picture() -> None:
    boxes = Size(200, 50).to_picture(np.array([[0.25, 0.5, 0.75, 1.0], [-0.3, -0.1, 1.2, 0.4]]))
    assert boxes.tolist() == [[50, 25, 150, 50], [0, 0, 200, 20]]


def test_a_picture_of_one_colour_has_no_content() -> None:
    assert not has_content(features_of(file(Image.new("RGB", (50, 50), (90, 80, 70)))))
    picture = Image.new("RGB", (50, 50), (90, 80, 70))
    picture.paste((90, 80 + 2 * MIN_CONTRAST, 70), (10, 10, 40, 40))
    assert has_content(features_of(file(picture)))


def test_what_is_no_picture_is_rejected() -> None:
    with pytest.raises(Rejected) as caught:
        features_of(b"no picture")
    assert caught.value.code == "not_an_image"
