"""The evidence for the gate: two versions of the scales on written datasets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from app.evaluation.held_out_scores import held_out_audit, held_out_examples
from app.events.model_events import Backtest
from app.inference.local_model import LocalModel
from app.outcomes.audit import AnsweredShare
from app.retraining.pipeline import gate_evidence
from app.retraining.pipeline.gate import GateEvidence
from app.retraining.pipeline.gate_evidence import (
    VersionPair,
    gather_gate_evidence,
    missing_evidence,
)
from app.settings.gate import GateSettings
from models import tensors
from models.base import OnStep, Sample, Task, Untrainable
from models.datasets import ROWS
from models.off_policy import Estimate
from models.policy_value import PolicyValue
from tests.support.datasets import write_dataset
from tests.support.scales import Scales, make_scale_model

RIGHT, OFF = "right", "off"
HISTORY = Backtest(rows=9, unanswered=2, agreement=None, outcomes=0, difference=None, interval=None, spans=())


class ScalesWithHeldOut(Scales):
    """Scales with an original test set."""

    def held_out(self) -> Iterator[Sample]:
        yield Sample("two", b"1 2.0", "text/plain", {"weight": 2.0})
        yield Sample("three", b"1 3.0", "text/plain", {"weight": 8.0})


class ScalesWithDecisions(Scales):
    """Scales whose outputs are decisions: in two logged ones the right version earned more."""

    off_policy_evaluator = f"{__name__}:values"


def values(
    task: ScalesWithDecisions, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    earned = {RIGHT: np.array([0.25, 1.0]), OFF: np.array([0.5, 0.25])}
    estimates = [Estimate(float(one.mean()), one - one.mean()) for one in (earned[path.stem] for path in versions)]
    return [
        PolicyValue(one, {"dr": one}, 2.0, ("Few.",) if pq.read_table(dataset / ROWS)["label"][0].as_py() else ())
        for one in estimates
    ]


class ScalesWithNan(Scales):
    """Scales whose score of a large weight is NaN."""

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return float("nan") if correction["weight"] > 100 else super().score(output, correction)


def ignore(what: str, done: int, of: int | None) -> None: ...


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a directory with a version that is right on the second scale, and one that is 5 off."""
    for name, off in ((RIGHT, 0.0), (OFF, 5.0)):
        (tmp_path / f"{name}.onnx").write_bytes(make_scale_model(off))
    return tmp_path


def make_versions(files: Path, candidate: str = RIGHT, champion: str = OFF, task: Task | None = None) -> VersionPair:
    return VersionPair(task or Scales(), files / f"{candidate}.onnx", files / f"{champion}.onnx")


def make_row(unique: str, weight: float = 7.0, reading: NDArray[Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an audited row of the split `test` with this reading and weight."""
    found = np.array([weight, 1.0], np.float32) if reading is None else reading
    data, declaration = tensors.encode({"reading": found})
    said = {
        "prediction_id": unique,
        "features": data,
        "tensors": declaration,
        "label": json.dumps({"weight": weight}),
        "split": "test",
        "selection": "audit",
        "selection_probability": 1.0,
        "request_source": "app",
        "version": "1",
    }
    return said | more


def held_out_ids(directory: Path, rows: list[dict[str, Any]], slices: Sequence[str] = ()) -> list[str]:
    dataset = write_dataset(directory, rows)
    examples = held_out_examples(dataset, slices, held_out_audit(dataset, 0.5))
    return [example.prediction_input.prediction_id for example in examples]


def gather(contest: VersionPair, files: Path, rows: list[dict[str, Any]], slices: Sequence[str] = ()) -> GateEvidence:
    return gather_gate_evidence(contest, write_dataset(files, rows), slices, HISTORY, ignore)


@pytest.mark.parametrize(
    "otherwise",
    [
        {"split": "train"},
        {"split": "validation"},
        {"split": None},
        {"selection": "volunteer", "selection_probability": None},
        {"label": None},
        {"features": None},
    ],
    ids=str,
)
def test_held_out_examples_are_test_rows_with_features_probability_and_label(
    tmp_path: Path, otherwise: dict[str, Any]
) -> None:
    assert held_out_ids(tmp_path, [make_row("1"), make_row("2", **otherwise), make_row("3")]) == ["1", "3"]


def test_held_out_examples_are_where_enough_of_the_audit_is_answered(tmp_path: Path) -> None:
    """Volunteers label each audited prediction; reviewers begin late, and are behind."""
    answered = [False] * 20 + [True] * 10 + [False] * 20
    rows = [make_row(str(number), audit_answered=is_answered) for number, is_answered in enumerate(answered)]
    assert held_out_ids(tmp_path, rows) == [str(number) for number in range(20, 30)]
    assert held_out_audit(tmp_path, 0.5).share == AnsweredShare(10, 50, 1.0)


def test_with_full_feedback_predictions_without_any_are_unanswered(tmp_path: Path) -> None:
    everything: dict[str, Any] = {"selection": "all", "selection_probability": 1.0}
    nothing: dict[str, Any] = {"selection": None, "selection_probability": None, "label": None}
    before = [make_row(f"before {number}", **nothing) for number in range(9)]
    rows = [*before, make_row("1", **everything), make_row("2", **nothing), make_row("3", **everything)]
    write_dataset(tmp_path, rows)
    assert held_out_audit(tmp_path, 0.5).share == AnsweredShare(2, 3, 1.0)


def test_rows_of_several_batches_keep_their_order(tmp_path: Path) -> None:
    names = [str(number) for number in range(150)]
    assert held_out_ids(tmp_path, [make_row(name) for name in names]) == names


def test_a_pairs_weight_is_the_inverse_of_its_probability(files: Path) -> None:
    rows = [make_row("1", selection_probability=0.25), make_row("2", selection="all", selection_probability=1.0)]
    assert [one.weight for one in gather(make_versions(files), files, rows).pairs] == [4.0, 1.0]


def test_a_pair_has_the_slices_of_its_row(files: Path) -> None:
    rows = [make_row("1", request_source="app"), make_row("2", request_source="till", version=None)]
    found = gather(make_versions(files), files, rows, ("request_source", "version")).pairs
    assert [one.slices for one in found] == [
        {"request_source": "app", "version": "1"},
        {"request_source": "till", "version": "None"},
    ]


def test_a_column_that_is_always_read_may_be_a_slice(files: Path) -> None:
    [pair] = gather(make_versions(files), files, [make_row("1")], ("selection",)).pairs
    assert pair.slices == {"selection": "audit"}


def test_both_versions_are_scored_on_the_same_outcomes_by_the_tasks_own_score(files: Path) -> None:
    """An output that is 5 off scores 0.5."""
    rows = [make_row(str(weight), float(weight)) for weight in (1, 2, 3)]
    found = gather(make_versions(files, RIGHT, OFF), files, rows).pairs
    assert [(one.candidate, one.champion) for one in found] == [(1.0, 0.5)] * 3
    swapped = gather(make_versions(files, OFF, RIGHT), files, rows).pairs
    assert [(one.candidate, one.champion) for one in swapped] == [(0.5, 1.0)] * 3


def test_a_failed_prediction_scores_0_and_leaves_its_batch_intact(files: Path) -> None:
    """The model does not take a reading of two rows in any batch."""
    rows = [make_row("1"), make_row("2", reading=np.zeros((1, 2), np.float32)), make_row("3")]
    found = gather(make_versions(files, RIGHT, RIGHT), files, rows).pairs
    assert [(one.candidate, one.champion) for one in found] == [(1.0, 1.0), (0.0, 0.0), (1.0, 1.0)]


def test_a_non_finite_score_counts_as_0(files: Path) -> None:
    found = gather(make_versions(files, task=ScalesWithNan()), files, [make_row("1"), make_row("2", 101.0)]).pairs
    assert [(one.candidate, one.champion) for one in found] == [(1.0, 0.5), (0.0, 0.0)]


def test_the_original_test_set_is_scored_by_both_versions(files: Path) -> None:
    assert gather(make_versions(files, task=ScalesWithHeldOut()), files, [make_row("1")]).original_scores == [
        (1.0, 0.5),
        (0.5, 1.0),
    ]
    assert gather(make_versions(files), files, [make_row("1")]).original_scores == []


def test_version_1_is_scored_on_the_original_test_set_if_it_is_not_the_champion(files: Path) -> None:
    versions = make_versions(files, RIGHT, RIGHT, ScalesWithHeldOut())
    assert gather(versions, files, [make_row("1")]).first_scores == []
    first = replace(versions, first=files / f"{OFF}.onnx")
    assert gather(first, files, [make_row("1")]).first_scores == [0.5, 1.0]


def test_latency_is_measured_with_single_requests_in_turns(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are warmed up first, and other processes slow both."""
    asked: list[tuple[str, int]] = []

    class Noted(LocalModel):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.path = path

        async def infer(self, model: Any, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            asked.append((self.path.stem, len(batch["reading"])))
            return await super().infer(model, batch)

    monkeypatch.setattr(gate_evidence, "LocalModel", Noted)
    found = gather(make_versions(files), files, [make_row("1"), make_row("2"), make_row("3")])
    assert asked == [(RIGHT, 1), (OFF, 1)] * 4
    assert min(found.latency_ms) > 0


def test_a_dataset_without_held_out_outcomes_gives_no_pairs(files: Path) -> None:
    found = gather(make_versions(files), files, [make_row("1", split="train")])
    assert not found.pairs
    assert min(found.latency_ms) > 0, "any row can be timed"


def test_the_size_is_that_of_the_candidates_file(files: Path) -> None:
    (files / "right.onnx").write_bytes(make_scale_model(0.0))
    assert gather(make_versions(files), files, [make_row("1")]).size_bytes == len(make_scale_model(0.0))


def test_unanswered_rows_of_the_backtest_are_in_the_evidence(files: Path) -> None:
    assert gather(make_versions(files), files, [make_row("1")]).unanswered == (2, 9)


def test_a_task_without_decisions_has_no_off_policy_estimate(files: Path) -> None:
    assert gather(make_versions(files), files, [make_row("1")]).off_policy is None


def test_the_off_policy_estimate_is_the_paired_difference_to_the_champion(files: Path) -> None:
    found = gather(make_versions(files, task=ScalesWithDecisions()), files, [make_row("1")]).off_policy
    assert found is not None
    assert found.difference.value == pytest.approx(0.625 - 0.375)
    np.testing.assert_allclose(found.difference.influence, [-0.375 - 0.125, 0.375 + 0.125])
    assert (found.reward, found.doubts) == (0.625, ("Few.",))


@pytest.mark.parametrize("content", [None, b"no Parquet"], ids=["missing", "broken"])
def test_an_unreadable_dataset_is_untrainable(files: Path, content: bytes | None) -> None:
    if content is not None:
        (files / ROWS).write_bytes(content)
    with pytest.raises(Untrainable, match="can't be read"):
        gather_gate_evidence(make_versions(files), files, (), HISTORY, ignore)


def test_a_slice_column_that_the_dataset_lacks_is_refused_with_its_name(files: Path) -> None:
    with pytest.raises(Untrainable, match="language"):
        gather(make_versions(files), files, [make_row("1")], ("language",))


@pytest.mark.parametrize(("outcomes", "min_outcomes"), [(0, 2), (2, 3)])
def test_a_dataset_with_too_few_held_out_outcomes_is_known_before_training(
    files: Path, outcomes: int, min_outcomes: int
) -> None:
    dataset = write_dataset(
        files, [make_row("0", split="train"), *(make_row(f"{number}") for number in range(outcomes))]
    )
    champion, bounds = files / f"{OFF}.onnx", GateSettings(min_outcomes=min_outcomes)
    reason = missing_evidence(Scales(), champion, dataset, bounds, ignore)
    assert reason is not None
    assert reason.startswith(f"{outcomes} held-out outcomes are too few: {min_outcomes} are needed. That takes about ")
    enough = GateSettings(min_outcomes=2)
    assert (missing_evidence(Scales(), champion, dataset, enough, ignore) is None) == (outcomes > 0)


def test_rewards_are_enough_evidence_without_any_label(files: Path) -> None:
    dataset, champion = write_dataset(files, [make_row("0", label=None)]), files / f"{OFF}.onnx"
    assert missing_evidence(ScalesWithDecisions(), champion, dataset, GateSettings(), ignore) is None


def test_rewards_in_doubt_are_named_beside_the_missing_labels_before_training(files: Path) -> None:
    dataset, champion = write_dataset(files, [make_row("0")]), files / f"{OFF}.onnx"
    missing = missing_evidence(ScalesWithDecisions(), champion, dataset, GateSettings(), ignore)
    assert missing is not None
    assert missing.startswith("1 held-out outcomes are too few: 20 are needed. That takes about 190 more answers")
    assert missing.endswith(" The rewards can't decide: Few.")
