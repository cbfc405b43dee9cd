"""Registration reads a model's signature from its file, and replaces the card of a registered model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import SetupError
from app.registry.cards import DRIFT_REFERENCE
from app.registry.changes import Decide, RegistryWriter
from app.registry.registration import Provenance, read_signature, register
from app.registry.registry import ModelVersion, TaskModels
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.fake_registry import FakeSubscription
from tests.support.model_files import write_letters_model
from tests.support.tasks import Letters


def sum_model() -> onnx.ModelProto:
    """Return a model that multiplies by weights."""
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_signature_has_the_inputs_and_outputs_of_a_model(tmp_path: Path) -> None:
    onnx.save(sum_model(), tmp_path / "model.onnx")
    found = read_signature(tmp_path / "model.onnx")
    assert found == {"input x": ("float32", 2), "output y": ("float32", 2)}


def test_a_model_with_external_weights_is_refused_even_if_they_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(sum_model(), "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(SetupError, match="its weights are in another file") as refused:
        read_signature(Path("model.onnx"))
    assert "Save it as one" in refused.value.remedy


class LocalWriter(RegistryWriter):
    """Writes to a registry in memory."""

    def __init__(self, subscription: FakeSubscription) -> None:
        self.subscription = subscription

    async def commit(self, decide: Decide) -> TaskModels:
        models = self.subscription.registry.tasks["letters"]
        if (data := decide(models)) is not None:
            self.subscription.publish(data)
        return models


async def test_a_corrected_card_replaces_that_of_the_same_model_and_keeps_the_drift_reference(tmp_path: Path) -> None:
    config, task = Settings(home=tmp_path, blob_url=tmp_path.as_uri()), Letters()
    writer = LocalWriter(FakeSubscription(task))
    model = write_letters_model(tmp_path, "with a corrected card")

    async def register_with(card: dict[str, object], run_id: str | None = None) -> ModelVersion:
        origin = Provenance("ada", run_id=run_id)
        return await register(config, task, writer, blob_store(config), model, card, origin)

    reference = {DRIFT_REFERENCE: {"length": [1.0]}}
    first = await register_with({"figures": {"wer": 1}, **reference})
    corrected = await register_with({"figures": {"wer": 0.1}, "licence": "MIT"})
    assert corrected.number == first.number
    assert corrected.card == {"figures": {"wer": 0.1}, "licence": "MIT"} | reference
    assert corrected.registration == first.registration
    assert (await register_with({}, run_id="run-1")).card == corrected.card
