"""Files become upright, opaque pictures, or are refused before their pixels are decoded."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from models.base import Rejected
from models.vision import files
from models.vision.files import MAX_DECODED_PIXELS, MAX_PIXELS, check_pixels, read_upright
from tests.models.vision.pictures import ENCODERS, LOSSLESS, SIZE, chunk, code, deep_png, drawn, encoded, grey

T = Image.Transpose
TURNS = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM}
TURNS |= {5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270}
"""How a picture is stored, by the orientation that shows it upright."""
MODES = {"JPEG": ("L", "RGB", "CMYK"), "MPO": ("L", "RGB"), "BMP": ("1", "L", "P", "RGB"), "GIF": ("1", "L", "P")}
MODES |= {"HEIF": ("L", "LA", "RGB", "RGBA"), "AVIF": ("L", "RGB", "RGBA"), "JPEG2000": ("L", "LA", "RGB", "RGBA")}
MODES |= {"WEBP": ("L", "RGB", "RGBA"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA")}
MODES |= {"TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")}
TURNED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF")
"""The formats that carry an orientation."""
NOISE = Image.effect_noise((96, 96), 80).convert("RGB")


@st.composite
def encodings(draw: st.DrawFn) -> bytes:
    """A file that shows the drawn picture: of any format, colours and orientation."""
    kind = draw(st.sampled_from(sorted(ENCODERS)))
    image = drawn().convert(draw(st.sampled_from(MODES[kind])))
    options = dict(ENCODERS[kind])
    if kind == "JPEG" and image.mode != "CMYK":  # of which all inks but the first would be stored small
        options |= {"progressive": draw(st.booleans()), "subsampling": draw(st.sampled_from((0, 1, 2)))}
    if kind == "TIFF" and image.mode != "CMYK":
        options |= {"compression": draw(st.sampled_from((None, "tiff_lzw", "packbits", "tiff_deflate", "zstd")))}
        options |= {"big_tiff": draw(st.booleans())}
    if kind in TURNED:
        orientation = draw(st.sampled_from(sorted(TURNS)))
        turn = TURNS[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        image, options = (image if turn is None else image.transpose(turn)), options | {"exif": exif}
    trailer = draw(st.sampled_from((b"", b"\0" * 40, b"\xff\xda\xff\xd8\xff\xd9", b"\0\0\0\x18ftypmp42")))
    return encoded(image, kind, **options) + (trailer if kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF") else b"")


@given(encodings())
@settings(max_examples=150, deadline=None)
def test_every_encoding_of_a_picture_shows_the_same(payload: bytes) -> None:
    picture = read_upright(payload)
    assert (picture.width, picture.height) == picture.image.size == SIZE
    assert np.abs(grey(payload) - np.asarray(drawn(), np.float64)).mean() < 2.0


@given(
    bits=st.sampled_from((8, 10, 12, 14, 16)), kind=st.sampled_from(("PNG", "TIFF", "colour", "alpha", "grey alpha"))
)
@settings(max_examples=40, deadline=None)
def test_every_depth_of_a_picture_shows_the_same(bits: int, kind: str) -> None:
    levels = np.round(np.asarray(drawn(paper=250, ink=30), np.float64) / 255 * ((1 << bits) - 1)).astype(np.uint16)
    levels[0, 0] = (1 << bits) - 1
    full = np.full_like(levels, 65_535)
    channels = {"colour": [levels] * 3, "alpha": [levels] * 3 + [full], "grey alpha": [levels, full]}.get(kind)
    payload = encoded(Image.fromarray(levels), kind) if channels is None else deep_png(np.dstack(channels))
    assert np.abs(grey(payload)[1:] - np.asarray(drawn(paper=250, ink=30), np.float64)[1:]).max() <= 1.0


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_colour_spaces_of_tiff_are_read(mode: str) -> None:
    image = drawn().convert("RGB")
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
        assert converted is not None
        image = converted
    assert (
        np.abs(grey(encoded(image if mode == "LAB" else image.convert(mode), "TIFF")) - np.asarray(drawn())).max() < 3
    )


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_first_of_several_pictures_is_read(kind: str) -> None:
    first = drawn().convert("RGB")
    payload = encoded(first, kind, save_all=True, append_images=[Image.new("RGB", SIZE, (200, 0, 0))])
    assert np.abs(grey(payload) - np.asarray(drawn())).mean() < 4.0


@pytest.mark.parametrize("kind", TURNED)
def test_damaged_exif_is_ignored(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    sound = encoded(drawn().convert("RGB"), kind, **ENCODERS[kind], exif=exif)
    for damage in (b"XX", b"\0\0"):
        for order in (b"II*\0", b"MM\0*"):
            where = sound.find(order, 1)
            payload = sound if where < 0 else sound[:where] + damage + sound[where + 2 :]
            assert grey(payload).shape == (SIZE[1], SIZE[0])


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff" + bytes(30), bytes(70_000)])
def test_exif_of_any_bytes_is_ignored(exif: bytes) -> None:
    png = encoded(drawn())
    assert read_upright(png[:33] + chunk(b"eXIf", exif) + png[33:]).image.size == SIZE
    segment = b"Exif\0\0" + exif[:60_000]
    jpeg = encoded(drawn(), "JPEG")
    assert (
        read_upright(jpeg[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(segment) + 2) + segment + jpeg[2:]).image.size
        == SIZE
    )


def test_each_damaged_exif_tag_says_nothing_of_its_own(recwarn: pytest.WarningsRecorder) -> None:
    tags = b"".join(struct.pack("<HHII", tag, 7, 2**20, 2**16) for tag in range(1_000))
    exif = chunk(b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", 1_000) + tags)
    png = encoded(drawn())
    read_upright(png[:33] + exif + png[33:])
    assert not recwarn.list


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_a_file_of_too_many_pixels_is_refused_before_they_are_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = encoded(drawn().convert("RGB"), kind, **ENCODERS[kind])

    def load(*_: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(files, "MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    for plugin in ImageFile.ImageFile.__subclasses__():
        monkeypatch.setattr(plugin, "load", load)
    assert code(payload) == "too_many_pixels"


@pytest.mark.parametrize("size", [(0, 5), (MAX_PIXELS + 1, 1), (8_001, 8_000)])
def test_sizes_without_pixels_or_with_too_many_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(Rejected) as caught:
        check_pixels(*size)
    assert caught.value.code == ("too_many_pixels" if size[0] else "broken")
    check_pixels(8_000, 8_000)


def test_a_large_jpeg_is_decoded_reduced_and_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encoded(drawn((240, 80)), "JPEG", quality=95)
    assert MAX_DECODED_PIXELS > 12_000_000
    monkeypatch.setattr(files, "MAX_DECODED_PIXELS", 240 * 80 - 1)
    picture = read_upright(payload)
    assert picture.image.size == (120, 40)
    assert (picture.width, picture.height) == (240, 80)


@pytest.mark.parametrize("kind", sorted(ENCODERS))
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=25, deadline=None)
def test_damage_anywhere_is_refused_or_read_but_never_an_error(kind: str, place: int, value: int) -> None:
    damaged = bytearray(_files()[kind])
    damaged[place % len(damaged)] = value
    try:
        assert read_upright(bytes(damaged)).image.width > 0
    except Rejected as refused:
        assert refused.code


def _files() -> dict[str, bytes]:
    if not _FILES:
        _FILES.update({kind: encoded(drawn().convert("RGB"), kind, **options) for kind, options in ENCODERS.items()})
    return _FILES


_FILES: dict[str, bytes] = {}


@pytest.mark.parametrize("kind", sorted({*LOSSLESS, "JPEG", "AVIF", "HEIF"}))
def test_half_of_a_file_is_truncated(kind: str) -> None:
    payload = encoded(NOISE, kind, **ENCODERS[kind])
    assert {code(payload[: int(len(payload) * share)]) for share in (0.1, 0.25, 0.5, 0.75)} == {"truncated"}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_marker_is_read_if_all_of_its_pixels_are_there(progressive: bool, cut: int) -> None:
    payload = encoded(NOISE, "JPEG", progressive=progressive, quality=90)
    assert np.abs(grey(payload[:-cut]) - grey(payload)).mean() < 1.0


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_baseline_jpeg_whose_last_pixels_are_missing_is_truncated(share: float) -> None:
    payload = encoded(NOISE, "JPEG", quality=90)
    assert code(payload[: int(len(payload) * share)]) == "truncated"


def test_a_progressive_jpeg_is_read_from_its_last_scan_on() -> None:
    payload = encoded(NOISE, "JPEG", progressive=True, quality=90)
    last = payload.rindex(b"\xff\xda")
    assert np.abs(grey(payload[: last + 100]) - grey(payload)).mean() < 10
    assert code(payload[: last - 1]) == "truncated"


def test_a_refusal_names_no_object_of_ours() -> None:
    for payload in (b"BM" + bytes(60), b"GIF89a" + bytes(60), b"RIFF\x20\0\0\0WEBP" + bytes(60)):
        with pytest.raises(Rejected) as refused:
            read_upright(payload)
        assert "object at" not in str(refused.value)
