"""The shape of the `ocr` network and how it is fitted; the network itself is `models.nn.conv_ctc`."""

import numpy as np

from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.ctc_fitting import Example, Plan
from models.ocr.data.generation import Line
from models.ocr.images import HEIGHT
from models.ocr.symbols import CLASSES, encode

NETWORK = ConvCtc(height=HEIGHT, classes=CLASSES, stem=(16, 32))
SIGNAL = Signal("image", np.uint8, 1 / 255)
PLAN = Plan(scale=SIGNAL.scale)
FINE_PLAN = Plan(scale=SIGNAL.scale, epochs=2, rate=3e-4)
"""Of a training that starts from a parent."""


def example(line: Line) -> Example:
    """A line as the network is fitted on it."""
    return Example(line.image, encode(line.text))
