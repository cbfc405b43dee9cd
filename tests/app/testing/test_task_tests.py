"""The laws catch a task that breaks them."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from numpy.typing import NDArray

from app.templates.task import NewTask
from app.testing import TaskTests
from models.base import Asked, Decoded, Features, Rejected, Shapes
from tests.support.tasks import Letters

COUNTER = itertools.count()
VERSION = Path(inspect.getfile(NewTask)).parent / "versions" / "1" / "model.onnx"


class TemplateTests(TaskTests):
    """The laws for tasks that are derived from the template's, with its model."""

    def _version(self) -> Path:
        return VERSION


def laws_of(task: type[NewTask]) -> TaskTests:
    tests = TemplateTests()
    tests.task = task()  # type: ignore[misc]  # of the instance: each case has its own
    return tests


class TestLetters(TaskTests):
    """A task whose folder has two versions of a model without a card."""

    task = Letters()
    rejected_payloads = ((b"\xff", "not_ascii"),)


class Random(NewTask):
    def preprocess(self, payload: bytes) -> Features:
        return {**super().preprocess(payload), "draw": np.array(next(COUNTER))}


class Stateful(NewTask):
    longest = 0

    def preprocess(self, payload: bytes) -> Features:
        self.longest = max(self.longest, len(payload))
        return {**super().preprocess(payload), "length": np.array(self.longest)}

    def inputs(self, features: Features) -> Features:
        return {"shares": features["shares"]}


class Fragile(NewTask):
    def preprocess(self, payload: bytes) -> Features:
        return {**super().preprocess(payload), "fourth": np.array(payload[3])}


class Wordless(NewTask):
    def preprocess(self, payload: bytes) -> Features:
        try:
            return super().preprocess(payload)
        except Rejected:
            raise Rejected("bad", " ") from None


class BadCode(NewTask):
    def preprocess(self, payload: bytes) -> Features:
        try:
            return super().preprocess(payload)
        except Rejected as error:
            raise Rejected("Not UTF-8!", str(error)) from None


class Unencodable(NewTask):
    def preprocess(self, payload: bytes) -> Features:
        return {**super().preprocess(payload), "text": np.array(["text"])}


class TooSmall(NewTask):
    def padded(self, shapes: Shapes) -> Shapes:
        return {"shares": (255,)}


class Drifting(NewTask):
    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return {**correction, "seen": correction.get("seen", 0) + 1}


class Trusting(NewTask):
    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return {"label": correction["label"]}


class Generous(NewTask):
    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return 1.0 if output == correction else 1.5


class Severe(NewTask):
    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return super().score(output, correction) / 2


class Sociable(NewTask):
    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded(decoded.output, 1 / len(asked)) for decoded in super().decode(outputs, asked)]


class Wrong(NewTask):
    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return super().decode({"probabilities": 1 - outputs["probabilities"]}, asked)


class Overconfident(NewTask):
    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded(decoded.output, 1.5) for decoded in super().decode(outputs, asked)]


class Verbose(NewTask):
    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded({**decoded.output, "extra": 1}, 0.5) for decoded in super().decode(outputs, asked)]


Law = Callable[[TaskTests], None]
SAMPLES = TaskTests.test_samples_become_the_same_features_in_whatever_order
PAYLOADS = TaskTests.test_any_payload_becomes_features_or_is_rejected
BEST = TaskTests.test_the_correction_of_a_sample_scores_best
CORRECTIONS = TaskTests.test_any_correction_has_a_canonical_form_or_is_rejected
BATCH = TaskTests.test_a_batch_is_decoded_as_its_events_are_alone
PREDICTED = TaskTests.test_samples_are_predicted


@pytest.mark.parametrize(
    ("task", "law", "error", "reason"),
    [
        (Random, SAMPLES, AssertionError, "other features after other payloads"),
        (Random, PAYLOADS, AssertionError, "not deterministic"),
        (Stateful, SAMPLES, AssertionError, "other features after other payloads"),
        (Fragile, PAYLOADS, IndexError, "out of range"),
        (Wordless, PAYLOADS, AssertionError, "has no reason"),
        (BadCode, PAYLOADS, AssertionError, "not a valid code"),
        (Unencodable, SAMPLES, TypeError, "dtype"),
        (TooSmall, SAMPLES, ValueError, "broadcast"),
        (Drifting, BEST, AssertionError, "second validation"),
        (Trusting, CORRECTIONS, KeyError, "label"),
        (Generous, BEST, AssertionError, "not from 0 to 1"),
        (Severe, BEST, AssertionError, "does not score 1"),
        (Sociable, BATCH, AssertionError, "differently in a batch"),
        (Wrong, PREDICTED, AssertionError, "below the minimum"),
        (Overconfident, PREDICTED, AssertionError, "is not predicted"),
        (Verbose, PREDICTED, AssertionError, "cannot be accepted"),
    ],
)
def test_a_task_that_breaks_a_law_fails(task: type[NewTask], law: Law, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        law(laws_of(task))


def test_a_listed_payload_must_be_rejected_with_its_code() -> None:
    class Tests(TaskTests):
        task = NewTask()
        rejected_payloads = ((b"readable", "blank"),)

    with pytest.raises(AssertionError, match="is not rejected"):
        Tests().test_listed_payloads_are_rejected()
    Tests.rejected_payloads = ((b"\xff", "blank"),)
    with pytest.raises(AssertionError, match="as not_utf8, not as blank"):
        Tests().test_listed_payloads_are_rejected()


def test_a_listed_correction_must_be_rejected() -> None:
    class Tests(TaskTests):
        task = NewTask()
        rejected_corrections = ({"label": "question"},)

    with pytest.raises(AssertionError, match="is not rejected"):
        Tests().test_listed_corrections_are_rejected()


def test_the_laws_of_a_version_are_skipped_without_one() -> None:
    class Tests(TaskTests):
        task = Stateful()  # its folder, that of this file, has no versions

    for law in (BATCH, PREDICTED):
        with pytest.raises(SkipTest, match="ships no version"):
            law(Tests())
