"""A version that is bad on purpose."""

import numpy as np
import onnxruntime as ort

from app.demo.faulty_version import spoilt
from app.registry.registration import signature
from app.registry.shipped import shipped
from models.ocr import Ocr
from tests.support.scales import scale


def said(model: bytes) -> float:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    [[[weight]]] = session.run(None, {"reading": np.array([[7.0, 1.0]], np.float32)})
    return float(weight)


def test_it_says_something_else_the_same_for_the_same_seed() -> None:
    assert said(spoilt(scale(5.0), 0)) != said(scale(5.0))
    assert spoilt(scale(5.0), 0) == spoilt(scale(5.0), 0)


def test_it_takes_and_gives_what_the_model_did() -> None:
    model = shipped(Ocr())["1"].read_bytes()
    assert signature(spoilt(model, 0)) == signature(model)
