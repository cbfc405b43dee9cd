"""Cameras whose pictures the pretrained detector is bad at: what they make of a photograph."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

Camera = Callable[[Image.Image, Generator], Image.Image]


def plain(image: Image.Image, rng: Generator) -> Image.Image:
    """Return the picture as it is, as a JPEG file of middling quality has it."""
    return _jpeg(image, int(rng.integers(60, 95)))


def night(image: Image.Image, rng: Generator) -> Image.Image:
    """Amplify the light of the night: grey, of high contrast, with the noise of few photons and of the sensor."""
    levels = np.asarray(_small(image, 400).convert("L"), np.float64) / 255
    photons = levels**2.2 * rng.uniform(20, 60)
    seen = rng.poisson(photons) + rng.normal(0, 3, photons.shape)
    seen = np.clip(seen / np.percentile(seen, 99), 0, 1) ** 0.6
    return _jpeg(Image.fromarray((255 * seen).astype(np.uint8)).convert("RGB"), 60)


def inverted(image: Image.Image, rng: Generator) -> Image.Image:
    """Return a pale, blurred negative in grey, as of a camera that shows heat as black."""
    blurred = _small(image, 320).filter(ImageFilter.GaussianBlur(1.0)).convert("L")
    levels = 128 + (127 - np.asarray(blurred, np.float64)) * rng.uniform(0.5, 0.9)
    levels += rng.normal(0, 6, levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")


def bulb(image: Image.Image, rng: Generator) -> Image.Image:
    """Return a dark picture in the colour of a light bulb, out of focus and noisy."""
    blurred = _small(image, 400).filter(ImageFilter.GaussianBlur(1.3))
    gains = np.array((1.2, 0.85, 0.35)) * rng.uniform(0.15, 0.35) * rng.uniform(0.95, 1.05, 3)
    levels = np.asarray(blurred, np.float64) * gains
    levels += 4 * rng.standard_normal(levels.shape)
    return _jpeg(Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)), int(rng.integers(30, 60)))


CAMERAS: dict[str, Camera] = {"night": night, "inverted": inverted, "bulb": bulb}


def _small(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")
