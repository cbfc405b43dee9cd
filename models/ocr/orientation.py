"""Tell whether a line stands on its head."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

_WIDTH = 192
_BATCH = 16


class OrientationClassifier:
    """The network: (batch, 3, 48, 192) from -1 to 1 to the probabilities of 0 and of 180 degrees, (batch, 2)."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def turned(self, lines: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probability of each line, uint8 (48, width), that it stands on its head."""
        probabilities = [np.zeros(0, np.float32)]
        for start in range(0, len(lines), _BATCH):
            feed = np.zeros((len(lines[start : start + _BATCH]), 3, lines[0].shape[0], _WIDTH), np.float32)
            for row, line in enumerate(lines[start : start + _BATCH]):
                seen = Image.fromarray(line)
                if seen.width > _WIDTH:
                    seen = seen.resize((_WIDTH, seen.height), Image.Resampling.BILINEAR)
                feed[row, :, :, : seen.width] = np.asarray(seen, np.float32) / 127.5 - 1
            probabilities.append(self._session.run(None, {self._input: feed})[0][:, 1])
        return np.concatenate(probabilities)
