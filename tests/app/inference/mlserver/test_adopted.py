"""Versions whose manifest names a runtime of MLServer."""

import json
from pathlib import Path
from typing import ClassVar

import lightgbm
import numpy as np
import pytest
from mlserver import ModelSettings
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, RequestInput
from sklearn.datasets import load_iris

from app.events.types import PredictionMade
from app.inference.mlserver.runtime import VersionRuntime
from app.testing import run_pipeline
from models.foreign.classification import Classification
from models.foreign.numbers import FromNumbers
from models.manifest import Manifest, Tensor, listed
from models.runtimes import open_version

IRIS = load_iris()


class Flowers(FromNumbers, Classification):
    """Names a flower by its measures."""

    name: ClassVar[str] = "flowers"
    preprocess_version: ClassVar[str] = "1"
    columns: ClassVar = tuple(IRIS.feature_names)

    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        return tuple(map(str, IRIS.target_names))

    def decode(self, outputs, asked):  # type: ignore[no-untyped-def]
        return super().decode({"probabilities": outputs["predict"]}, asked)


def version(folder: Path, runtime: str, content: bytes) -> Path:
    manifest = Manifest(
        runtime=runtime,
        files=listed({"model.bst": content}),
        inputs={"numbers": Tensor(datatype="FP64", shape=(-1, 4))},
        outputs={"predict": Tensor(datatype="FP64", shape=(-1, 3))},
    )
    (folder / "model.bst").write_bytes(content)
    (folder / "manifest.json").write_bytes(manifest.content())
    return folder / "manifest.json"


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    plan = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1}
    return lightgbm.train(plan, lightgbm.Dataset(IRIS.data, IRIS.target), num_boost_round=5)


async def test_lightgbm_answers_through_mlserver_as_in_its_own_library(
    tmp_path: Path, booster: lightgbm.Booster
) -> None:
    path = version(tmp_path, "mlserver_lightgbm:LightGBMModel", booster.model_to_string().encode())
    rows = IRIS.data[::15]
    expected = np.asarray(booster.predict(rows))
    local = await run_pipeline(Flowers(), [json.dumps(row).encode() for row in rows.tolist()], model=path)
    answers = [(one.output["label"], one.confidence) for one in local if isinstance(one, PredictionMade)]
    assert [label for label, _ in answers] == [IRIS.target_names[best] for best in expected.argmax(axis=1)]
    assert [confidence for _, confidence in answers] == pytest.approx(expected.max(axis=1))

    served = VersionRuntime(
        ModelSettings(name="flowers-1", implementation=VersionRuntime, parameters=ModelParameters(uri=str(path)))
    )
    await served.load()
    tensor = RequestInput(name="numbers", datatype="FP64", shape=list(rows.shape), data=rows.ravel().tolist())
    response = await served.predict(InferenceRequest(inputs=[tensor]))
    assert response.outputs[0].data.root == pytest.approx(expected.ravel())


def test_a_runtime_that_opens_pickles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "opens_pickles.py").write_text("from mlserver import MLModel\nclass Any(MLModel): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"may open a pickle, which can run any code.* skl2onnx"):
        open_version(version(tmp_path, "opens_pickles:Any", b"\x80\x04."))
