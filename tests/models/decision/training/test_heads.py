"""What SquareCB and a bootstrap need of a version: gamma, and heads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.base import Sample
from models.decision.served_policy import served_policies
from models.decision.train import PLAN, train
from models.decision.training.heads import HEADS, effective_count
from models.decision.training.history import decayed
from models.decision.training.log_reader import grouped, read
from models.decision.training.network import Network
from models.nn.onnx_inference import judge, session
from tests.models.decision import logs

QUICK = replace(PLAN, least_steps=150, most_steps=150)
KINDS = [Sample(kind, logs.payload(kind), "application/json", {"action": right}) for kind, right in logs.RIGHT.items()]


def quiet(doing: str, step: int, steps: int | None) -> None:
    pass


def probabilities(directory: Path, count: int, exploration: Any) -> list[dict[str, float]]:
    """Train on so many decisions; return each kind of visitor's probabilities as they are served."""
    directory.mkdir()
    task = logs.task(directory, exploration=exploration, floor=0.0)
    dataset = logs.write(logs.rows(task, count, 0), directory / "dataset")
    trained = train(task, dataset, None, 3, quiet, QUICK)
    (directory / "model.onnx").write_bytes(trained.model)
    return [found.decoded.output["probabilities"] for found in judge(session(trained.model), task, KINDS)]


@pytest.mark.parametrize("exploration", ["squarecb", "bootstrap"])
def test_exploration_decays_with_the_data(exploration: str, tmp_path: Path) -> None:
    few, many = (probabilities(tmp_path / str(count), count, exploration) for count in (60, 4_000))
    rights = list(logs.RIGHT.values())
    assert min(served[right] for served, right in zip(many, rights, strict=True)) > 0.9
    assert sum(served[right] for served, right in zip(few, rights, strict=True)) < 1.8


@pytest.mark.parametrize("exploration", ["squarecb", "bootstrap"])
def test_off_policy_evaluation_knows_the_probabilities_that_are_served(exploration: str, tmp_path: Path) -> None:
    served = probabilities(tmp_path / "task", 300, exploration)
    task = logs.task(tmp_path, exploration=exploration, floor=0.0)
    loaded = onnx.load(tmp_path / "task" / "model.onnx")
    network = Network.from_onnx(loaded)
    assert network.to_onnx().SerializeToString() == loaded.SerializeToString()
    decisions = list(read(tmp_path / "task" / "dataset"))[:50]
    [policies] = served_policies(task, network, grouped(decisions))
    for decision, policy in zip(decisions, policies, strict=True):
        kind = int(decision.features["context"][2])
        np.testing.assert_allclose(policy[:3], list(served[kind].values()), atol=1e-5)


def test_a_version_with_heads_has_a_score_of_each(tmp_path: Path) -> None:
    probabilities(tmp_path / "task", 60, "bootstrap")
    task = logs.task(tmp_path)
    inputs = task.inputs(task.preprocess(logs.payload("x")))
    [logits] = session((tmp_path / "task" / "model.onnx").read_bytes()).run(
        ["logits"], {name: value[None] for name, value in inputs.items()}
    )
    assert logits.shape == (1, HEADS, 3)


def test_decayed_history_counts_as_fewer_decisions(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    log = grouped(read(logs.write(logs.rows(task, 1_000, 0), tmp_path / "dataset")))
    assert effective_count(log) == 1_000
    assert effective_count(decayed(log, 50)) == pytest.approx(2 * 50 / np.log(2), rel=0.01)
