"""The shape of the `speech_to_text` network and how it is fitted; the network itself is `models.nn.conv_ctc`."""

import numpy as np

from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.ctc_batches import CtcFittingPlan
from models.small.speech_to_text.mel import MELS
from models.small.speech_to_text.segments import TIME_STRIDE
from models.small.speech_to_text.symbols import CLASSES

NETWORK = ConvCtc(
    height=MELS, classes=CLASSES, stem=(16, 32), channels=128, dilations=(1, 2, 4, 8), time_stride=TIME_STRIDE
)
SIGNAL = Signal("mels", np.uint8, 1 / 255)
PLAN = CtcFittingPlan(epochs=4, buckets=(96, 128, 192, 256, 320, 384, 512, 768), scale=SIGNAL.scale)
"""Of a training from scratch."""
FINE_PLAN = CtcFittingPlan(epochs=2, rate=5e-4, buckets=(*PLAN.buckets, 1024), scale=SIGNAL.scale)
"""Of a training from a parent."""
