from io import BytesIO

import pytest
from PIL import Image

from models.base import Rejected
from models.vision.files import read_upright
from models.vision.tiff_pages import is_tiff, page_file, page_offsets


def tiff(*levels: int, **options: object) -> bytes:
    content = BytesIO()
    first, *others = (Image.new("L", (20, 10), level) for level in levels)
    first.save(content, "TIFF", save_all=True, append_images=others, **options)
    return content.getvalue()


@pytest.mark.parametrize("big", [False, True])
def test_each_page_becomes_a_file_of_its_own(big: bool) -> None:
    payload = tiff(10, 20, 30, big_tiff=big)
    assert is_tiff(payload)
    images = [read_upright(page_file(payload, offset)).image for offset in page_offsets(payload)]
    assert [image.getpixel((0, 0)) for image in images] == [10, 20, 30]


def test_a_thumbnail_is_no_page() -> None:
    payload = bytearray(tiff(10, 20, tiffinfo={254: 1}))
    assert len(page_offsets(bytes(payload))) == 1


def test_pages_in_a_circle_are_read_once() -> None:
    payload = tiff(10, 20)
    first, second = page_offsets(payload)
    at = payload.index(second.to_bytes(4, "little"), first)
    circular = payload[:at] + first.to_bytes(4, "little") + payload[at + 4 :]
    assert page_offsets(circular) == [first]


def test_a_file_that_ends_before_a_page_is_refused() -> None:
    payload = tiff(10, 20)
    with pytest.raises(Rejected) as refusal:
        page_offsets(payload[: page_offsets(payload)[1] + 1])
    assert refusal.value.code == "truncated"
