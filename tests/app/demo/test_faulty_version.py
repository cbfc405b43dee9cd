from pathlib import Path

import numpy as np
import onnxruntime as ort

from app.demo.faulty_version import corrupt_version, corrupt_weights
from app.registry.registration import read_signature
from app.registry.shipped import shipped_versions
from models.small.ocr import Ocr
from tests.support.scales import make_scale_model


def predict(model: bytes) -> float:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    [[[weight]]] = session.run(None, {"reading": np.array([[7.0, 1.0]], np.float32)})
    return float(weight)


def test_a_corrupted_model_predicts_otherwise_and_depends_on_its_seed_only() -> None:
    assert predict(corrupt_weights(make_scale_model(5.0), 0)) != predict(make_scale_model(5.0))
    assert corrupt_weights(make_scale_model(5.0), 0) == corrupt_weights(make_scale_model(5.0), 0)


def test_a_corrupted_model_keeps_its_signature(tmp_path: Path) -> None:
    model = shipped_versions(Ocr())["1"]
    assert read_signature(corrupt_version(model, 0, tmp_path)) == read_signature(model)
