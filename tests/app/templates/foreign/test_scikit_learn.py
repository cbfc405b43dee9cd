"""A pipeline of scikit-learn, as skl2onnx exports it with and without its maps of probabilities."""

import asyncio
import json
from importlib import import_module
from pathlib import Path

import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.events.types import PredictionMade
from app.templates.foreign.creation import create_foreign_task
from app.templates.foreign.hints import Hints
from app.testing import run_pipeline


@pytest.mark.parametrize("maps", [True, False])
def test_a_pipeline_answers_as_it_does_in_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maps: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    iris = load_iris()
    features, labels = iris.data, iris.target_names[iris.target]
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)
    model = to_onnx(fitted, features[:1].astype("float32"), options={"zipmap": maps}, target_opset=17)
    (tmp_path / "iris.onnx").write_bytes(model.SerializeToString())
    hints = Hints(columns=tuple(iris.feature_names), labels=None if maps else tuple(fitted.classes_))
    name = f"flowers_{maps}".lower()
    _, _, design = create_foreign_task(name, tmp_path, [], tmp_path / "iris.onnx", None, hints, [])
    assert design.notes.assumed == []
    requests = [json.dumps(row).encode() for row in features[::10].tolist()]
    package = import_module(name)
    made = asyncio.run(run_pipeline(getattr(package, package.__all__[0])(), requests))
    answers = [(one.output["label"], one.confidence) for one in made if isinstance(one, PredictionMade)]
    probabilities = fitted.predict_proba(features[::10])
    assert [label for label, _ in answers] == fitted.predict(features[::10]).tolist()
    assert [confidence for _, confidence in answers] == pytest.approx(probabilities.max(axis=1), abs=1e-5)
