"""What an image file claims is counted before anything is decoded: bombs are refused, whole files are not."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from models.vision import headers
from models.vision.files import read_upright
from models.vision.headers import MAX_COMPRESSED, MAX_GIF_BLOCKS, MAX_LAYERS
from models.vision.jpeg import MAX_EXIF, MAX_SCANNED_PIXELS, MAX_SCANS, MAX_SEGMENTS
from models.vision.tiff import MAX_TAGS, MAX_VALUES
from tests.models.vision.pictures import chunk, code, encoded

SIZE = (64, 48)
PICTURE = Image.new("RGB", SIZE, (200, 30, 60))
JPEG = encoded(PICTURE, "JPEG")
TRAILER = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x08" * 500
"""What follows the picture in a phone's motion photo: by chance a video has the markers of a JPEG."""


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


def size(payload: bytes) -> tuple[int, int]:
    picture = read_upright(payload)
    return picture.width, picture.height


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 100}])
def test_a_motion_photo_is_the_picture_before_its_video(options: dict[str, object]) -> None:
    noisy = Image.effect_noise(SIZE, 90).convert("RGB")
    file = encoded(noisy, "JPEG", **options) + TRAILER
    assert size(file) == SIZE


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    assert size(with_scans(MAX_SCANS)) == SIZE
    assert code(with_scans(MAX_SCANS + 1)) == "too_complex"


def test_scans_behind_the_end_of_the_picture_do_not_count() -> None:
    assert size(JPEG + with_scans(MAX_SCANS + 1)) == SIZE


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
    assert size(with_chunks(*[one] * MAX_COMPRESSED)) == SIZE
    assert code(with_chunks(*[one] * (MAX_COMPRESSED + 1))) == "too_complex"


def test_a_png_of_very_many_empty_chunks_is_refused() -> None:
    assert code(with_chunks(*[chunk(b"IDAT", b"")] * headers.MAX_CHUNKS)) == "too_complex"


def test_a_file_is_read_to_its_end_marker_whatever_stands_in_its_segments() -> None:
    thumbnail = BytesIO()
    PICTURE.resize((8, 6)).save(thumbnail, "JPEG")
    assert size(with_segments((0xE1, thumbnail.getvalue()))) == SIZE


def test_a_large_jpeg_may_have_fewer_scans() -> None:
    scans = with_scans(20)
    frame = scans.index(b"\xff\xc2")
    assert MAX_SCANNED_PIXELS < 20 * 60_000 * 1_000
    assert code(scans[: frame + 5] + struct.pack(">HH", 1_000, 60_000) + scans[frame + 9 :]) == "too_complex"


def test_stray_bytes_between_the_segments_of_a_jpeg_are_passed_over() -> None:
    after = 4 + JPEG[5]  # the first segment
    assert size(JPEG[:after] + b"\0\0" + JPEG[after:]) == SIZE


def test_a_gif_of_very_many_comments_is_refused() -> None:
    gif = encoded(PICTURE, "GIF")
    palette = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    comment = b"!\xfe" + b"\x01x" * (MAX_GIF_BLOCKS + 1) + b"\0"
    assert code(gif[:palette] + comment + gif[palette:]) == "too_complex"
    assert size(gif[:palette] + b"!\xfe\x05hello\0" + gif[palette:]) == SIZE


def test_a_jpeg_2000_file_of_very_many_layers_or_tiles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encoded(PICTURE, "JPEG2000")
    start, coding = payload.index(b"\xff\x4f\xff\x51"), payload.index(b"\xff\x52")
    layers = payload[: coding + 6] + struct.pack(">H", MAX_LAYERS + 1) + payload[coding + 8 :]
    tiles = payload[: start + 24] + struct.pack(">II", 1, 1) + payload[start + 32 :]
    assert code(layers) == "too_complex"
    monkeypatch.setattr(headers, "MAX_TILES", 1_000)
    assert code(tiles) == "too_complex"


def directory(*tags: tuple[int, int, int, int], size: int = 1_000) -> bytes:
    """A little-endian TIFF of these tags (number, type, count, value), and zeros behind them."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(size)


@pytest.mark.parametrize(
    "tags",
    [
        [(number, 1, 1, 0) for number in range(MAX_TAGS + 1)],
        [(number, 1, 60_000, 0) for number in range(60_000, 60_010)],
        [(273, 4, MAX_VALUES + 1, 8)],
        [(322, 4, 1, 2**20), (323, 4, 1, 2**20)],
    ],
)
def test_a_tiff_whose_directory_costs_more_than_a_picture_is_refused(tags: list[tuple[int, int, int, int]]) -> None:
    assert code(directory(*tags)) == "too_complex"


@pytest.mark.parametrize("cut", [3, 6, 9, 30])
def test_a_tiff_that_ends_in_its_directory_is_truncated(cut: int) -> None:
    payload = encoded(PICTURE, "TIFF")
    assert code(payload[:cut].ljust(4, b"\0") if cut < 4 else payload[:cut]) == "truncated"


def test_a_tiff_whose_directory_is_beyond_any_file_is_truncated() -> None:
    assert code(b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(40)) == "truncated"


def test_a_tiff_whose_strips_are_elsewhere_is_truncated() -> None:
    payload = encoded(Image.fromarray(np.zeros((48, 64), np.uint8)), "TIFF")
    assert code(payload[:-2_000]) == "truncated"


def test_the_exif_of_a_tiff_is_not_followed() -> None:
    tags = ImageFileDirectory_v2()
    tags[0x8769] = len(encoded(PICTURE, "TIFF"))  # its end: there is no directory
    payload = encoded(PICTURE, "TIFF", tiffinfo=tags)
    assert struct.pack("<HH", 0x8769, 4) in payload
    assert size(payload) == SIZE
