"""The network before it has learnt anything."""

from pathlib import Path

from models.base import Sample
from models.decision.training.network import untrained
from models.nn.onnx_inference import judge, session
from tests.models.decision import logs


def test_an_untrained_network_holds_all_actions_to_be_alike(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    model = untrained(task.schema).to_onnx().SerializeToString()
    samples = [Sample(kind, logs.payload(kind), "application/json", {}) for kind in logs.RIGHT]
    for one in judge(session(model), task, samples):
        probabilities = one.decoded.output["probabilities"].values()
        assert max(probabilities) - min(probabilities) < 1e-6
