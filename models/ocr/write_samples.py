"""`python -m models.ocr.write_samples`: write the file in `samples/` that is made here, always the same.

A TIFF of two pages: a receipt, and a letter in two columns that lies on its side. The other file, a page of "Adventures
of Huckleberry Finn" (1884), was scanned for Project Gutenberg and is in the public domain, as OCRmyPDF 17.13.0 has it
in its tests (`c03-29.pdf`).
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.ocr.samples import SAMPLES
from models.small.ocr.data.generation import split_fonts
from models.small.ocr.data.lines import photographed

SEED = 23
RECEIPT = (
    ("Corner Bakery", ""),
    ("Market Street 12", ""),
    ("Rye bread", "4.20"),
    ("2 rolls", "1.10"),
    ("Apple cake", "3.50"),
    ("Total EUR", "8.80"),
)
COLUMNS = (
    (
        "Dear neighbours, the street will be",
        "closed on Saturday from 8 to 14 for",
        "the summer market. Please park your",
    ),
    (
        "cars elsewhere. Music begins at noon,",
        "and there is cake for everybody. The",
        "children's race starts at 11 o'clock.",
    ),
)
_SIZE, _MARGIN, _STEP = 22, 24, 36


def main() -> None:
    """Write `receipt.tif`."""
    rng = np.random.default_rng(SEED)
    font = ImageFont.truetype(str(split_fonts("test")[0][0]), _SIZE)
    receipt = [(_MARGIN, left) for left, _ in RECEIPT], [(300, right) for _, right in RECEIPT]
    letter = [[(_MARGIN + 440 * column, text) for text in texts] for column, texts in enumerate(COLUMNS)]
    first = photographed(_ink((400, 260), [*receipt], font), rng, _STEP)
    second = photographed(_ink((880, 160), letter, font), rng, _STEP).rotate(90, expand=True)
    content = BytesIO()
    first.save(content, "TIFF", save_all=True, append_images=[second], compression="tiff_adobe_deflate")
    (SAMPLES / "receipt.tif").write_bytes(content.getvalue())


def _ink(size: tuple[int, int], columns: list[list[tuple[int, str]]], font: ImageFont.FreeTypeFont) -> Image.Image:
    ink = Image.new("L", size)
    draw = ImageDraw.Draw(ink)
    for column in columns:
        for row, (left, text) in enumerate(column):
            draw.text((left, _MARGIN + row * _STEP), text, fill=255, font=font)
    return ink


if __name__ == "__main__":
    main()
