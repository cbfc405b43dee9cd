"""Small files as they occur in practice: odd headers, other containers, a second file after the first."""

import io
import struct
from collections.abc import Callable

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.settings import CHECKOUT

SAMPLE_RATE = 16_000

Samples = NDArray[np.float32]


def load_clip() -> Samples:
    """Return a shipped recording, 16 kHz mono."""
    samples, _ = soundfile.read(CHECKOUT / "models/small/speech_to_text/samples/00-pcm16.wav", dtype="float32")
    return np.asarray(samples, np.float32)


def encode_sound(samples: Samples, kind: str = "WAV", subtype: str | None = None, rate: int = SAMPLE_RATE) -> bytes:
    """Return a sound file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def make_wav_with_length(length: int) -> bytes:
    """Return a WAV from a program that could not seek back to write the length; it declares `length` bytes."""
    wav = encode_sound(load_clip())
    position = wav.index(b"data") + 4
    return wav[:position] + struct.pack("<I", length) + wav[position + 4 :]


def make_piped_flac() -> bytes:
    """Return a FLAC from a program that could not seek back: number of samples and checksum are unknown."""
    flac = encode_sound(load_clip(), "FLAC")
    streaminfo = 8  # after the magic and the header of the block
    unknown = bytes([flac[streaminfo + 13] & 0xF0]) + bytes(4 + 16)
    return flac[: streaminfo + 13] + unknown + flac[streaminfo + 34 :]


def make_mp3_in_wav() -> bytes:
    """Return a WAV whose samples are MP3 frames."""
    frames = encode_sound(load_clip(), "MP3")
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, SAMPLE_RATE, 4_000, 1, 0, 12, 1, 2, 144, 1, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(frames)) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def make_stereo(left: Samples, right: Samples) -> Samples:
    """Return two channels."""
    return np.stack([left, right], axis=1)


SOUNDS: dict[str, Callable[[], bytes]] = {
    "8 kHz": lambda: encode_sound(load_clip()[::2], rate=8_000),
    "8 kHz, u-law": lambda: encode_sound(load_clip()[::2], subtype="ULAW", rate=8_000),
    "48 kHz stereo": lambda: encode_sound(make_stereo(load_clip().repeat(3), load_clip().repeat(3)), rate=48_000),
    "stereo, one channel inverted": lambda: encode_sound(make_stereo(load_clip(), -load_clip())),
    "a length of 0": lambda: make_wav_with_length(0),
    "a length of 2 GB": lambda: make_wav_with_length(0x7FFFFFFF),
    "a length of arecord": lambda: make_wav_with_length(0x80000000),
    "a length of ffmpeg": lambda: make_wav_with_length(0xFFFFFFFF),
    "FLAC from a pipe": make_piped_flac,
    "MP3": lambda: encode_sound(load_clip(), "MP3"),
    "MP3 in WAV": make_mp3_in_wav,
    "AIFF": lambda: encode_sound(load_clip(), "AIFF"),
    "AU": lambda: encode_sound(load_clip(), "AU"),
    "64 bit float": lambda: encode_sound(load_clip(), subtype="DOUBLE"),
    "half of a file": lambda: encode_sound(load_clip())[:20_001],
    "silence": lambda: encode_sound(load_clip() * 0),
}


def draw_line(mode: str = "RGB", ground: object = "white", ink: object = "black") -> Image.Image:
    """Return a picture of a line of text."""
    picture = Image.new(mode, (260, 40), ground)  # type: ignore[arg-type]
    ImageDraw.Draw(picture).text((10, 8), "Order 4711", ink, ImageFont.load_default(22))  # type: ignore[arg-type]
    return picture


def encode_picture(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_twelve_bit_image() -> Image.Image:
    """Return an image of 12-bit grey values in 16 bits."""
    return Image.fromarray((np.asarray(draw_line("L"), np.uint16) << 4) & 0xFFF)


PICTURES: dict[str, Callable[[], bytes]] = {
    "a motion photo": lambda: encode_picture(draw_line(), "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 240,
    "a bad EXIF in PNG": lambda: encode_picture(draw_line(), "PNG", exif=b"Exif\0\0no TIFF header"),
    "a bad EXIF in JPEG": lambda: encode_picture(draw_line(), "JPEG", exif=b"Exif\0\0no TIFF header"),
    "a JPEG without an end": lambda: encode_picture(draw_line(), "JPEG")[:-2],
    "a progressive JPEG": lambda: encode_picture(draw_line(), "JPEG", progressive=True),
    "white on transparent": lambda: encode_picture(draw_line("RGBA", (0, 0, 0, 0), "white"), "PNG"),
    "12 bits in 16": lambda: encode_picture(make_twelve_bit_image(), "PNG"),
    "a palette": lambda: encode_picture(draw_line().quantize(4), "PNG"),
    "one bit": lambda: encode_picture(draw_line("1", 1, 0), "PNG"),
    "a fax": lambda: encode_picture(draw_line("1", 1, 0), "TIFF", compression="group4"),
    "a GIF": lambda: encode_picture(draw_line(), "GIF"),
    "a BMP": lambda: encode_picture(draw_line(), "BMP"),
    "a WebP": lambda: encode_picture(draw_line(), "WEBP"),
    "a PDF": lambda: encode_picture(draw_line(), "PDF"),
    "half of a file": lambda: encode_picture(draw_line(), "PNG")[:400],
    "one pixel": lambda: encode_picture(Image.new("RGB", (1, 1)), "PNG"),
}
