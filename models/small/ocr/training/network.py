"""The shape of the `ocr` network and how it is fitted; the network itself is `models.nn.conv_ctc`."""

import numpy as np

from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.ctc_batches import CtcFittingPlan
from models.small.ocr.images import HEIGHT
from models.small.ocr.symbols import CLASSES

NETWORK = ConvCtc(height=HEIGHT, classes=CLASSES, stem=(16, 32))
SIGNAL = Signal("image", np.uint8, 1 / 255)
PLAN = CtcFittingPlan(scale=SIGNAL.scale)
"""Of a training from scratch."""
FINE_PLAN = CtcFittingPlan(scale=SIGNAL.scale, epochs=2, rate=3e-4)
"""Of a training from a parent."""
