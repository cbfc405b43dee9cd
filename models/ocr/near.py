"""The key that tells another copy of a line's picture from a line that differs in one symbol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.vision.near import as_key, small_grid

ROWS = 16
"""In fewer, symbols that look alike become one; in more, what JPEG leaves around strokes is as large as a stroke."""
BOUND = 6
"""In hundredths of the contrast. Lines of the same font and place that differ in one symbol, such as 8 and 3, differed
by 20 at least, copies by other encoders mostly by less than 10 (see docs/learning.md)."""
MAX_ASPECT = 24
_COLUMNS_PER_SYMBOL = 5
_LEAST_CONTRAST = 20.0
_MIDDLE = 50.0  # room for what is darker or lighter than nearly all of the picture


def near_key(grey: NDArray[np.uint8], displayed_height: float, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    """Return the key of a picture, of shape (`ROWS`, columns), by its width; None if it is not one large enough line.

    The symbols of a page would be too small to be told apart.
    """
    height, width = grey.shape
    if len(output["lines"]) != 1 or width > MAX_ASPECT * height:
        return None
    [line] = output["lines"]
    across = [y for _, y in line["polygon"]]
    columns = ROWS * 2 ** max(0, min(4, round(np.log2(width / height))))
    if 2 * (max(across) - min(across)) < displayed_height or _COLUMNS_PER_SYMBOL * len(line["text"]) > columns:
        return None
    grid = small_grid(Image.fromarray(grey), columns, ROWS)
    dark, light = np.quantile(grid, [0.01, 0.99])
    return as_key(_MIDDLE + (grid - dark) * (100.0 / max(_LEAST_CONTRAST, float(light - dark))))
