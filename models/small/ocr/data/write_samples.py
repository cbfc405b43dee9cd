"""`python -m models.small.ocr.data.write_samples`: write the files in `samples/`, always the same.

The held-out digit scans, and a few files such as applications send: lines of these scans, and printed lines in fonts
of the test split, as PNG and JPEG, in grey, in colour, with transparency.
"""

import json
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from models.small.ocr.data.generation import digit_scans, digits_image, split_fonts
from models.small.ocr.data.lines import SAMPLES, photographed
from models.small.ocr.data.printed import printed_line

SEED = 20
DIGIT_LINES = 5
PRINTED = (
    "Invoice 4711",
    "Delivery on 24 March",
    "TOTAL AMOUNT DUE",
    "Return to sender",
    "Order number 205183",
    "Meeting room 12B",
)


def main() -> None:
    """Write `held_out_digits.npz`, the images and `samples.json`."""
    scans = digit_scans("test")
    np.savez_compressed(SAMPLES / "held_out_digits.npz", images=scans.images, digits=scans.digits)
    rng = np.random.default_rng(SEED)
    lines = [("digits", *digits_image("test", rng)) for _ in range(DIGIT_LINES)]
    families = split_fonts("test")
    for number, text in enumerate(PRINTED):
        family = families[number % len(families)]
        line = printed_line(text, family[int(rng.integers(len(family)))], rng)
        lines.append(("printed", photographed(line, rng), text))
    entries = []
    for number, (kind, image, text) in enumerate(lines):
        jpeg = number % 3 == 2
        content = BytesIO()
        _dressed(image, number).save(content, "JPEG" if jpeg else "PNG", **({"quality": 85} if jpeg else {}))
        name = f"{kind}-{number:02d}.{'jpg' if jpeg else 'png'}"
        (SAMPLES / name).write_bytes(content.getvalue())
        entries.append({"name": name, "content_type": "image/jpeg" if jpeg else "image/png", "text": text})
    (SAMPLES / "samples.json").write_text(json.dumps(entries, indent=2) + "\n")


def _dressed(image: Image.Image, number: int) -> Image.Image:
    """Give some lines blue ink on yellowish paper, or transparency."""
    if number % 4 == 1:
        return ImageOps.colorize(image, (20, 30, 110), (255, 250, 225))
    if number % 4 == 3 and number % 3 != 2:
        clear = Image.new("LA", image.size, 0)
        clear.putalpha(ImageOps.invert(image))
        return clear
    return image


if __name__ == "__main__":
    main()
