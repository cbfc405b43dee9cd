"""Tests that every task must pass. Derive a class from `TaskTests` and name the task; pytest collects the tests."""

import asyncio
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

from app.events.base import canonical_json
from app.events.types import PredictionMade
from app.inference.predictor import stack_inputs
from app.registry.shipped import shipped_versions
from app.testing.pipeline import run_pipeline
from models import tensors
from models.base import Asked, Features, Rejected, Task
from models.nn.onnx_inference import run
from models.runtimes import open_version

_CODE = re.compile(r"[a-z][a-z0-9_]*")


class TaskTests:
    """The laws of a task. Those of its newest shipped version are skipped if it ships none."""

    task: ClassVar[Task]
    rejected_payloads: ClassVar[Sequence[tuple[bytes, str]]] = ()
    """Payloads that the task cannot read, each with the code of its rejection."""
    rejected_corrections: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Corrections that cannot be true."""
    min_sample_score: ClassVar[float] = 0.5
    """The least mean score of the shipped version on the samples."""
    max_examples: ClassVar[int] = 100
    """How many examples each property test draws."""

    def test_the_task_can_be_sent_to_another_process(self) -> None:
        assert type(pickle.loads(pickle.dumps(self.task))) is type(self.task)  # noqa: S301  # its own bytes

    def test_samples_become_the_same_features_in_whatever_order(self) -> None:
        payloads = [sample.payload for sample in self.task.samples()]
        features = [self._features(payload) for payload in payloads]
        reversed_features = [self._features(payload) for payload in reversed(payloads)]
        for sample, first, second in zip(self.task.samples(), features, reversed(reversed_features), strict=True):
            assert not isinstance(first, Rejected), f"{sample.name} is rejected: {first}"
            assert _are_equal(first, second), f"{sample.name} has other features after other payloads"

    def test_any_payload_becomes_features_or_is_rejected(self) -> None:
        from app.testing.strategies import damaged_payloads, for_all

        def check(payload: bytes) -> None:
            assert _are_equal(self._features(payload), self._features(payload)), "preprocess is not deterministic"

        payloads = [sample.payload for sample in self.task.samples()] + [
            payload for payload, _ in self.rejected_payloads
        ]
        for_all(damaged_payloads(payloads), self.max_examples, check)

    def test_listed_payloads_are_rejected(self) -> None:
        for payload, code in self.rejected_payloads:
            features = self._features(payload)
            assert isinstance(features, Rejected), f"{payload[:50]!r} is not rejected"
            assert features.code == code, f"{payload[:50]!r} is rejected as {features.code}, not as {code}"

    def test_the_correction_of_a_sample_scores_best(self) -> None:
        corrections = [self._canonical(sample.correction) for sample in self.task.samples()]
        for correction in corrections:
            assert correction is not None, "a sample has a correction that is rejected"
            assert self.task.score(correction, correction) == 1, f"{correction} does not score 1 against itself"
            scores = [self.task.score(output, correction) for output in corrections if output is not None]
            assert all(0 <= score <= 1 for score in scores), f"scores are not from 0 to 1: {scores}"

    def test_any_correction_has_a_canonical_form_or_is_rejected(self) -> None:
        from app.testing.strategies import damaged_corrections, for_all

        corrections = [sample.correction for sample in self.task.samples()]
        for_all(damaged_corrections(corrections), self.max_examples, self._canonical)

    def test_listed_corrections_are_rejected(self) -> None:
        for correction in self.rejected_corrections:
            assert self._canonical(correction) is None, f"{correction} is not rejected"

    def test_a_batch_is_decoded_as_its_events_are_alone(self) -> None:
        features = [self.task.preprocess(sample.payload) for sample in self.task.samples()]
        for places, outputs in run(open_version(self._version()), self.task, features):
            batch = [Asked(f"{self.task.name}:{place}", features[place]) for place in places]
            alone = [
                self.task.decode({name: output[index : index + 1] for name, output in outputs.items()}, [event])[0]
                for index, event in enumerate(batch)
            ]
            assert self.task.decode(outputs, batch) == alone, "an event is decoded differently in a batch than alone"

    def test_samples_are_predicted(self) -> None:
        samples = self.task.samples()
        requests = [sample.payload for sample in samples]
        answers = asyncio.run(run_pipeline(self.task, requests, model=self._version()))
        scores = []
        for sample, answer in zip(samples, answers, strict=True):
            assert isinstance(answer, PredictionMade), f"{sample.name} is not predicted: {answer}"
            assert self._canonical(answer.output) is not None, f"{answer.output} cannot be accepted as a correction"
            scores.append(self.task.score(answer.output, sample.correction))
        assert all(0 <= score <= 1 for score in scores), f"scores are not from 0 to 1: {scores}"
        assert sum(scores) >= self.min_sample_score * len(scores), f"the mean score is below the minimum: {scores}"

    def _features(self, payload: bytes) -> Features | Rejected:
        """Return the features or the rejection of a payload; both must be fit for the log and the model."""
        try:
            features = self.task.preprocess(payload)
        except Rejected as error:
            return _checked(error)
        assert _are_equal(features, tensors.decode(*tensors.encode(features))), "encoding changes the features"
        stack_inputs(self.task, [features])  # raises if the padded shapes are smaller than the inputs
        return features

    def _canonical(self, correction: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the correction in canonical form, which validation must not change; None if it is rejected."""
        try:
            canonical = self.task.validate_correction(correction)
        except Rejected as error:
            _checked(error)
            return None
        again = self.task.validate_correction(canonical)
        assert canonical_json(again) == canonical_json(canonical), f"the second validation of {canonical} gives {again}"
        return canonical

    def _version(self) -> Path:
        versions = shipped_versions(self.task)
        if not versions:
            raise SkipTest(f"{self.task.name} ships no version")
        return list(versions.values())[-1]


def _are_equal(first: Features | Rejected, second: Features | Rejected) -> bool:
    if isinstance(first, Rejected) or isinstance(second, Rejected):
        return isinstance(first, Rejected) and isinstance(second, Rejected) and first.code == second.code
    return tensors.encode(first) == tensors.encode(second)


def _checked(error: Rejected) -> Rejected:
    assert _CODE.fullmatch(error.code), f"{error.code!r} is not a valid code: a to z, 0 to 9 and _, a letter first"
    assert str(error).strip(), f"a rejection with code {error.code} has no reason"
    return error
