"""`python -m models.small.object_detection.data.write_samples`: write the files in `samples/`, always the same.

Scenes on the held-out photographs such as applications send them: JPEG, PNG, grey, CMYK, and turned by EXIF.
"""

import json
from io import BytesIO

import numpy as np
from PIL import Image

from models.small.object_detection.data.scenes import compose
from models.small.object_detection.images import SAMPLES

SEED = 40
KINDS = ("colour.jpg", "colour.png", "grey.jpg", "cmyk.jpg", "turned.jpg")
_TURNED_BACK = 6  # EXIF: shown turned a quarter clockwise


def main() -> None:
    """Write the images and `samples.json`."""
    SAMPLES.mkdir(exist_ok=True)
    rng = np.random.default_rng(SEED)
    entries = []
    for name in KINDS:
        scene = compose("held_out", rng)
        while len(scene.boxes) < 2 or scene.image.width * scene.image.height > 70_000:
            scene = compose("held_out", rng)
        (SAMPLES / name).write_bytes(_file(scene.image, name))
        kind = "png" if name.endswith("png") else "jpeg"
        entries.append({"name": name, "content_type": f"image/{kind}", "boxes": scene.boxes})
    (SAMPLES / "samples.json").write_text(json.dumps(entries, indent=2) + "\n")


def _file(image: Image.Image, name: str) -> bytes:
    content = BytesIO()
    if name == "colour.png":
        image.save(content, "PNG", optimize=True)
        return content.getvalue()
    exif = Image.Exif()
    if name == "turned.jpg":
        exif[0x0112] = _TURNED_BACK
        image = image.transpose(Image.Transpose.ROTATE_90)
    modes = {"grey.jpg": "L", "cmyk.jpg": "CMYK"}
    image.convert(modes.get(name, "RGB")).save(content, "JPEG", quality=85, exif=exif)
    return content.getvalue()


if __name__ == "__main__":
    main()
