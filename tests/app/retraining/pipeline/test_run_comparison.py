from pathlib import Path

import numpy as np
import pytest

from app.outcomes.audit import NO_AUDIT
from app.retraining.pipeline.gate import GateEvidence, PairedScore
from app.retraining.pipeline.gate_rewards import RewardEvidence
from app.retraining.pipeline.run_comparison import compare_by_evidence
from models import off_policy
from models.off_policy import Estimate
from models.policy_value import PolicyValue, policy_value
from tests.support.datasets import scale_row, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rows = [scale_row(number, request_source=f"app {number % 2}", confidence=0.9) for number in range(60)]
    return write_dataset(tmp_path, rows)


def evidence(pairs: list[PairedScore], rewards: RewardEvidence | None = None) -> GateEvidence:
    return GateEvidence(pairs, (), (0, 60), rewards, (1.0, 1.0), 1, NO_AUDIT)


def value(weights: list[float]) -> PolicyValue:
    rewards, repeated = np.resize([0.0, 1.0, 1.0], 60), np.resize(weights, 60)
    estimates = {"snips": off_policy.snips(rewards, repeated)}
    ids = [str(number) for number in range(60)]
    return policy_value(off_policy.on_policy(rewards), estimates, repeated, rewards, np.arange(60), ids)


def scored(number: int, candidate: float, champion: float) -> PairedScore:
    return PairedScore(candidate, champion, entity=str(number), prediction_id=str(number))


def test_labels_are_compared_by_the_declared_slices_and_by_confidence(dataset: Path) -> None:
    pairs = [scored(number, float(number % 3 > 0), float(number % 2)) for number in range(60)]
    [found] = compare_by_evidence(evidence(pairs), dataset, ["request_source"])
    assert (found.evidence, found.unit, found.total.count) == ("outcomes", "outcome", 60)
    assert found.total.difference is not None
    assert found.total.difference[0] == pytest.approx(2 / 3 - 1 / 2)
    sizes = {slices.column: [(part.slice, part.count) for part in slices.parts] for slices in found.slices}
    assert sizes == {"request_source": [("app 0", 30), ("app 1", 30)], "confidence": [("0.8 to 0.95", 60)]}


def test_rewards_and_labels_are_each_compared(dataset: Path) -> None:
    difference = Estimate(0.0, np.zeros(60))
    rewards = RewardEvidence(difference, values=(value([1.0, 2.0, 0.5]), value([1.0])))
    by_rewards, by_labels = compare_by_evidence(evidence([scored(1, 1.0, 0.0)], rewards), dataset, ["request_source"])
    assert (by_rewards.evidence, by_labels.evidence) == ("off_policy", "outcomes")
    assert (by_rewards.estimator, by_rewards.total.count) == ("snips", 60)
    assert by_rewards.total.champion is not None
    assert by_rewards.total.champion[0] == pytest.approx(2 / 3)


def test_there_is_no_comparison_without_evidence(dataset: Path) -> None:
    unknown = RewardEvidence(Estimate(0.0, np.zeros(2)), values=None)
    broken = [scored(1, float("nan"), 0.0)]
    assert list(compare_by_evidence(evidence(broken, unknown), dataset, [])) == []
