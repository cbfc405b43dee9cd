"""What an image file claims is counted before anything is decoded: bombs are refused, whole files are not."""

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from models.base import Rejected
from models.vision import headers
from models.vision.files import read_upright
from models.vision.headers import MAX_COMPRESSED, MAX_EXIF, MAX_SCANS, MAX_SEGMENTS, image_size
from tests.models.vision.test_files import anything, encoded

SIZE = (64, 48)
PICTURE = Image.new("RGB", SIZE, (200, 30, 60))
JPEG = encoded(PICTURE, "JPEG")
TRAILER = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x08" * 500
"""What follows the picture in a phone's motion photo: by chance a video has the markers of a JPEG."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG with these chunks behind its header."""
    png = encoded(PICTURE)
    return png[:33] + b"".join(chunks) + png[33:]


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose first scan, which is of all colours, stands in it so many times."""
    file = encoded(PICTURE, "JPEG", progressive=True)
    start = file.index(b"\xff\xda")
    end = start + 2 + next(at for at in range(len(file)) if file[start + 2 + at] == 0xFF and file[start + 3 + at])
    return file[:start] + file[start:end] * count + file[-2:]


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with these segments at its beginning."""
    written = (struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)
    return JPEG[:2] + b"".join(written) + JPEG[2:]


def code(payload: bytes) -> str:
    with pytest.raises(Rejected) as refused:
        image_size(payload)
    return refused.value.code


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 100}])
def test_a_motion_photo_is_the_picture_before_its_video(options: dict[str, object]) -> None:
    noisy = Image.effect_noise(SIZE, 90).convert("RGB")
    file = encoded(noisy, "JPEG", **options) + TRAILER
    assert image_size(file) == SIZE
    assert read_upright(file, anything).size == SIZE


def test_a_jpeg_that_is_cut_anywhere_is_truncated() -> None:
    assert {code(JPEG[:end]) for end in range(3, len(JPEG))} == {"truncated"}


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    assert image_size(with_scans(MAX_SCANS)) == SIZE
    assert code(with_scans(MAX_SCANS + 1)) == "too_complex"


def test_scans_behind_the_end_of_the_picture_do_not_count() -> None:
    assert image_size(JPEG + with_scans(MAX_SCANS + 1)) == SIZE


def test_a_jpeg_of_very_many_segments_is_refused() -> None:
    assert code(with_segments(*[(0xFE, b"")] * (MAX_SEGMENTS + 1))) == "too_complex"


def test_an_arithmetic_coded_jpeg_is_refused() -> None:
    frame = JPEG.index(b"\xff\xc0")
    assert code(JPEG[: frame + 1] + b"\xc9" + JPEG[frame + 2 :]) == "unsupported"


def test_exif_whose_tags_could_take_gigabytes_is_refused() -> None:
    segments = [(0xE1, b"Exif\0\0" + bytes(60_000))] * 2
    assert len(segments) * 60_000 > MAX_EXIF
    assert code(with_segments(*segments)) == "too_complex"


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_png_of_very_many_compressed_chunks_is_refused(kind: bytes) -> None:
    one = chunk(kind, b"name\0\0" + zlib.compress(bytes(2**20)))
    assert image_size(with_chunks(*[one] * MAX_COMPRESSED)) == SIZE
    assert code(with_chunks(*[one] * (MAX_COMPRESSED + 1))) == "too_complex"


def test_a_png_of_very_many_empty_chunks_is_refused() -> None:
    assert code(with_chunks(*[chunk(b"IDAT", b"")] * headers.MAX_CHUNKS)) == "too_complex"


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff" + bytes(30), bytes(MAX_EXIF + 1)])
def test_broken_exif_is_ignored(exif: bytes) -> None:
    assert read_upright(with_chunks(chunk(b"eXIf", exif)), anything).size == SIZE
    assert read_upright(with_segments((0xE1, b"Exif\0\0" + exif[:60_000])), anything).size == SIZE


def test_each_damaged_exif_tag_says_nothing_of_its_own(recwarn: pytest.WarningsRecorder) -> None:
    tags = b"".join(struct.pack("<HHII", tag, 7, 2**20, 2**16) for tag in range(1_000))
    read_upright(with_chunks(chunk(b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", 1_000) + tags)), anything)
    assert not recwarn.list


def test_a_file_is_read_to_its_end_marker_whatever_stands_in_its_segments() -> None:
    thumbnail = BytesIO()
    PICTURE.resize((8, 6)).save(thumbnail, "JPEG")
    assert image_size(with_segments((0xE1, thumbnail.getvalue()))) == SIZE
